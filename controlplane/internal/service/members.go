package service

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// memberLimit bounds the people of one account.
const memberLimit = 1000

// MembersConfig is what the service of members needs.
type MembersConfig struct {
	Writer *change.Writer
	Source change.Source
	// Random is crypto/rand.Reader but in tests.
	Random io.Reader
}

// Members implements MemberService.
type Members struct {
	breakwaterv1.UnimplementedMemberServiceServer
	cfg MembersConfig
	// permissions are those that there are.
	permissions permission.Set
}

// NewMembers makes the service of members.
func NewMembers(cfg MembersConfig) *Members {
	return &Members{cfg: cfg, permissions: authz.Permissions()}
}

var _ breakwaterv1.MemberServiceServer = (*Members)(nil)

func memberShown(rec *storev1.MemberRecord) *breakwaterv1.Member {
	m, _ := proto.Clone(rec.GetMember()).(*breakwaterv1.Member)
	m.Etag = resource.Etag(rec.GetMember())
	return m
}

func memberRead(tx *change.Tx, name resource.Name) (*storev1.MemberRecord, error) {
	rec := &storev1.MemberRecord{}
	if err := tx.Get(name.Tenant().Member(name.ID), rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return nil, rpcerr.NotFound(name.String())
		}
		return nil, err
	}
	return rec, nil
}

// memberOpen reads a member in order to change it.
func memberOpen(tx *change.Tx, name resource.Name, etag string) (*storev1.MemberRecord, error) {
	rec, err := memberRead(tx, name)
	if err != nil {
		return nil, err
	}
	return rec, siteMeets(tx, etag, resource.Etag(rec.GetMember()), name.String())
}

func memberStore(tx *change.Tx, name resource.Name, rec *storev1.MemberRecord, summary string, fields []string) (*breakwaterv1.Member, error) {
	rec.Member.UpdateTime = timestamppb.New(tx.Now())
	tx.Audit(&breakwaterv1.AuditEvent{Resource: name.String(), Summary: summary, ChangedFields: fields})
	return memberShown(rec), tx.Put(name.Tenant().Member(name.ID), rec)
}

// memberWanted checks what a request wants, and makes a member of it that is invited.
func memberWanted(in *breakwaterv1.Member) (*breakwaterv1.Member, error) {
	m := &breakwaterv1.Member{
		Email: strings.ToLower(in.GetEmail()), Role: in.GetRole(), Sites: in.GetSites(), Labels: in.GetLabels(),
		State: breakwaterv1.Member_INVITED,
	}
	var err error
	if m.GetEmail() == "" {
		err = rpcerr.InvalidField("member.email", "required", "a member has an e-mail address")
	}
	return m, rpcerr.Together(err, memberChecked(m))
}

// memberChecked checks a role with its sites, and makes the domains canonical.
func memberChecked(m *breakwaterv1.Member) error {
	sites, violations := memberDomains("member.sites", m.GetSites())
	switch {
	case m.GetRole() == breakwaterv1.Member_ROLE_UNSPECIFIED:
		violations = append(violations, rpcerr.Violation{Field: "member.role", Rule: "required", Message: "a member has a role"})
	case len(sites) > 0 && !permission.LimitedRole(m.GetRole()):
		violations = append(violations, rpcerr.Violation{
			Field: "member.sites", Rule: "role", Message: "only an editor or a viewer can be limited to sites",
		})
	}
	if len(violations) > 0 {
		return rpcerr.Invalid(violations...)
	}
	m.Sites = sites
	return nil
}

// memberDomains makes domains canonical, sorted and unique.
func memberDomains(field string, given []string) ([]string, []rpcerr.Violation) {
	var (
		out        []string
		violations []rpcerr.Violation
	)
	for i, s := range given {
		d, err := domain.Parse(s)
		if e, ok := errors.AsType[*domain.Error](err); ok {
			violations = append(violations, rpcerr.Violation{Field: accountIndexed(field, i), Rule: string(e.Rule), Message: e.Message})
			continue
		}
		out = append(out, d.String())
	}
	slices.Sort(out)
	return slices.Compact(out), violations
}

// memberOwners fails unless the caller may decide about owners, where an owner is involved.
func memberOwners(tx *change.Tx, account resource.Name, roles ...breakwaterv1.Member_Role) error {
	if !slices.Contains(roles, breakwaterv1.Member_OWNER) {
		return nil
	}
	return authz.Require(tx.Call().Principal, permission.ManageOwners, account)
}

// within fails unless the caller may do all that a member may with the role and the sites:
// nobody gives more than they have.
func (s *Members) within(p authn.Principal, account resource.Name, m *breakwaterv1.Member) error {
	if p.Unlimited() {
		return nil
	}
	g, _ := p.GrantIn(account.Account)
	if missing := permission.Missing(g.Permissions, s.permissions.Existing(permission.OfRole(m.GetRole()))); len(missing) > 0 {
		return grantExceeds(missing[0], account.String(), "role", "nobody gives a role that may do more than they may: "+missing[0]+" is missing")
	}
	if !permission.SitesWithin(m.GetSites(), g.Sites) {
		return grantExceeds("members.update", account.String(), "sites", "nobody gives sites that they have not: limit the member to some of "+strings.Join(g.Sites, ", "))
	}
	return nil
}

// memberLastOwner fails when the account would be without an owner once the member is none
// any more. An owner who accepted can't be replaced by one who did not.
func memberLastOwner(tx *change.Tx, name resource.Name, leaving *breakwaterv1.Member) error {
	kvs, err := tx.List(name.Tenant().Members(), 0)
	if err != nil {
		return err
	}
	for _, kv := range kvs {
		var rec storev1.MemberRecord
		if err := proto.Unmarshal(kv.Value, &rec); err != nil {
			return err
		}
		m := rec.GetMember()
		if m.GetName() != leaving.GetName() && m.GetRole() == breakwaterv1.Member_OWNER &&
			(m.GetState() == breakwaterv1.Member_ACTIVE || leaving.GetState() != breakwaterv1.Member_ACTIVE) {
			return nil
		}
	}
	return rpcerr.Precondition(rpcerr.ReasonInvalidState, name.String(), "an account keeps at least one owner: make somebody else an owner first")
}

// CreateMember implements MemberService: the person has to accept before they have access.
func (s *Members) CreateMember(ctx context.Context, req *breakwaterv1.CreateMemberRequest) (*breakwaterv1.Member, error) {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	wanted, err := memberWanted(req.GetMember())
	if err != nil {
		return nil, err
	}
	id, err := authn.NewID(s.cfg.Random)
	if err != nil {
		return nil, err
	}
	name := resource.Name{Account: parent.Account, Collection: "members", ID: id}
	email := wanted.GetEmail()
	wanted.Name = name.String()
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
		if err := memberOwners(tx, parent, wanted.GetRole()); err != nil {
			return nil, err
		}
		if err := s.within(tx.Call().Principal, parent, wanted); err != nil {
			return nil, err
		}
		if err := accountUntagged(tx, name.String()); err != nil {
			return nil, err
		}
		index := resource.EmailIndex(email, parent.Account)
		taken, err := tx.Exists(index)
		if err != nil {
			return nil, err
		}
		if taken {
			return nil, rpcerr.AlreadyExists("a member with the address " + email + " in " + parent.String())
		}
		if all, _ := tx.Peek(name.Tenant().Members(), memberLimit); len(all) >= memberLimit {
			return nil, rpcerr.QuotaExceeded("members", memberLimit, "", "an account has at most %d members", memberLimit)
		}
		m, _ := proto.Clone(wanted).(*breakwaterv1.Member)
		m.CreateTime = timestamppb.New(tx.Now())
		tx.PutRaw(index, []byte(id))
		if err := memberInvite(tx, parent.Account, m); err != nil {
			return nil, err
		}
		return memberStore(tx, name, &storev1.MemberRecord{Member: m}, "invited "+email+" as "+m.GetRole().String(), nil)
	})
}

// GetMember implements MemberService.
func (s *Members) GetMember(ctx context.Context, req *breakwaterv1.GetMemberRequest) (*breakwaterv1.Member, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	kv, ok := view.Get(name.Tenant().Member(name.ID))
	if !ok {
		return nil, rpcerr.NotFound(name.String())
	}
	var rec storev1.MemberRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return nil, err
	}
	return memberShown(&rec), nil
}

// ListMembers implements MemberService.
func (s *Members) ListMembers(ctx context.Context, req *breakwaterv1.ListMembersRequest) (*breakwaterv1.ListMembersResponse, error) {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &breakwaterv1.Member{}, listing.Options{Scope: parent.String()})
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := accountMustExist(view, parent); err != nil {
		return nil, err
	}
	members, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Member) bool) error {
		return accountScan(view, parent.Tenant().Members(), after, func(kv registry.KV) (bool, error) {
			var rec storev1.MemberRecord
			if err := proto.Unmarshal(kv.Value, &rec); err != nil {
				return false, err
			}
			return yield(kv.Key, memberShown(&rec)), nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListMembersResponse{Members: members, NextPageToken: next}, nil
}

// UpdateMember implements MemberService.
func (s *Members) UpdateMember(ctx context.Context, req *breakwaterv1.UpdateMemberRequest) (*breakwaterv1.Member, error) {
	name, err := resource.ParseName(req.GetMember().GetName())
	if err != nil {
		return nil, err
	}
	account := resource.Name{Account: name.Account, Collection: "accounts", ID: name.Account}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
		rec, err := memberOpen(tx, name, req.GetMember().GetEtag())
		if err != nil {
			return nil, err
		}
		before, _ := proto.Clone(rec.GetMember()).(*breakwaterv1.Member)
		changed, err := masks.Apply(rec.GetMember(), req.GetMember(), req.GetUpdateMask(), masks.Options{
			Same: func(_, stored, update string) bool { return strings.EqualFold(stored, update) },
		})
		if err != nil {
			return nil, err
		}
		if err := memberChecked(rec.GetMember()); err != nil {
			return nil, err
		}
		if len(changed) == 0 || proto.Equal(before, rec.GetMember()) {
			return memberShown(rec), nil
		}
		if err := memberOwners(tx, account, before.GetRole(), rec.GetMember().GetRole()); err != nil {
			return nil, err
		}
		if before.GetRole() != rec.GetMember().GetRole() || !slices.Equal(before.GetSites(), rec.GetMember().GetSites()) {
			if err := s.within(tx.Call().Principal, account, rec.GetMember()); err != nil {
				return nil, err
			}
		}
		if before.GetRole() == breakwaterv1.Member_OWNER && rec.GetMember().GetRole() != breakwaterv1.Member_OWNER {
			if err := memberLastOwner(tx, name, before); err != nil {
				return nil, err
			}
		}
		return memberStore(tx, name, rec, "member "+before.GetEmail()+" changed, now "+rec.GetMember().GetRole().String(), changed)
	})
}

// DeleteMember implements MemberService. The tokens that the person made rest on a member
// who is gone, and are refused from then on.
func (s *Members) DeleteMember(ctx context.Context, req *breakwaterv1.DeleteMemberRequest) (*emptypb.Empty, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	account := resource.Name{Account: name.Account, Collection: "accounts", ID: name.Account}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*emptypb.Empty, error) {
		rec, err := memberOpen(tx, name, req.GetEtag())
		if err != nil {
			return nil, err
		}
		m := rec.GetMember()
		if err := memberOwners(tx, account, m.GetRole()); err != nil {
			return nil, err
		}
		if m.GetRole() == breakwaterv1.Member_OWNER {
			if err := memberLastOwner(tx, name, m); err != nil {
				return nil, err
			}
		}
		tx.Delete(name.Tenant().Member(name.ID))
		tx.Delete(resource.EmailIndex(m.GetEmail(), name.Account))
		tx.Audit(&breakwaterv1.AuditEvent{Resource: name.String(), Summary: "member " + m.GetEmail() + " removed"})
		return &emptypb.Empty{}, nil
	})
}

// AcceptMember implements MemberService. Only the login of the invited address accepts; for
// anyone else the invitation is not there to be seen.
func (s *Members) AcceptMember(ctx context.Context, req *breakwaterv1.AcceptMemberRequest) (*breakwaterv1.Member, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	p := call.From(ctx).Principal
	denied := rpcerr.PermissionDenied("members.accept", name.String())
	if p.Kind != authn.Login || p.OnBehalfOf != "" {
		return nil, denied
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Member, error) {
		rec, err := memberRead(tx, name)
		if err != nil {
			if e, ok := errors.AsType[*rpcerr.Error](err); ok && e.Reason == rpcerr.ReasonNotFound && authz.Require(p, "members.get", name) != nil {
				return nil, denied
			}
			return nil, err
		}
		if rec.GetMember().GetEmail() != p.Email {
			return nil, denied
		}
		if err := siteMeets(tx, "", resource.Etag(rec.GetMember()), name.String()); err != nil {
			return nil, err
		}
		if rec.GetMember().GetState() == breakwaterv1.Member_ACTIVE {
			return memberShown(rec), nil
		}
		rec.Member.State = breakwaterv1.Member_ACTIVE
		return memberStore(tx, name, rec, "invitation accepted by "+p.Email, []string{"state"})
	})
}
