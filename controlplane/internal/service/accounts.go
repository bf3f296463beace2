package service

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// accountRetention is how long a deleted account can be brought back.
const accountRetention = 30 * 24 * time.Hour

// accountsOfLogin bounds how many accounts a person may be in before they make another.
const accountsOfLogin = 100

// AccountsConfig is what the service of accounts needs.
type AccountsConfig struct {
	Writer *change.Writer
	Source change.Source
	// NewID makes an ID that orders by time and is never used again.
	NewID func(now time.Time) string
	// Random is crypto/rand.Reader but in tests.
	Random io.Reader
	// Billing may be nil: then nobody is told of the end of an account, and of its return.
	Billing BillingEnds
	// Began, if any, takes part in the change that makes an account.
	Began func(tx *change.Tx, account string) error
}

// Accounts implements AccountService.
type Accounts struct {
	breakwaterv1.UnimplementedAccountServiceServer
	cfg AccountsConfig
}

// NewAccounts makes the service of accounts.
func NewAccounts(cfg AccountsConfig) *Accounts { return &Accounts{cfg: cfg} }

var _ breakwaterv1.AccountServiceServer = (*Accounts)(nil)

// accountShown is the account as an answer has it.
func accountShown(rec *storev1.AccountRecord) *breakwaterv1.Account {
	a, _ := proto.Clone(rec.GetAccount()).(*breakwaterv1.Account)
	a.Etag = resource.Etag(rec.GetAccount())
	return a
}

// accountOpen reads an account in order to change it.
func accountOpen(tx *change.Tx, name resource.Name, etag string) (*storev1.AccountRecord, error) {
	rec := &storev1.AccountRecord{}
	if err := tx.Get(name.Tenant().Record(), rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return nil, rpcerr.NotFound(name.String())
		}
		return nil, err
	}
	return rec, siteMeets(tx, etag, resource.Etag(rec.GetAccount()), name.String())
}

// accountStore puts the account as it is now, with its event.
func accountStore(tx *change.Tx, name resource.Name, rec *storev1.AccountRecord, summary string, fields []string) (*breakwaterv1.Account, error) {
	rec.Account.UpdateTime = timestamppb.New(tx.Now())
	tx.Audit(&breakwaterv1.AuditEvent{Resource: name.String(), Summary: summary, ChangedFields: fields})
	return accountShown(rec), tx.Put(name.Tenant().Record(), rec)
}

// reservedAccount is what the only operator is called. An account of the same name would be
// mistaken for them by whoever reads a log.
const reservedAccount = "operator"

// CreateAccount implements AccountService: operators make accounts for others, whose first
// owner then has to accept; a login makes one that it owns at once.
func (s *Accounts) CreateAccount(ctx context.Context, req *breakwaterv1.CreateAccountRequest) (*breakwaterv1.Account, error) {
	p, owner := call.From(ctx).Principal, strings.ToLower(req.GetOwnerEmail())
	own := p.Kind == authn.Login && p.Email == owner
	if !p.Unlimited() && !own {
		return nil, rpcerr.PermissionDenied("accounts.create", "accounts")
	}
	id := req.GetAccountId()
	if id == "" {
		made, err := authn.NewID(s.cfg.Random)
		if err != nil {
			return nil, err
		}
		id = "a" + made
	}
	if id == reservedAccount {
		return nil, rpcerr.InvalidField("accountId", "reserved", "%q is reserved: audit logs call the operator so", id)
	}
	name := resource.Name{Account: id, Collection: "accounts", ID: id}
	if given := req.GetAccount().GetName(); given != "" && given != name.String() {
		return nil, rpcerr.InvalidField("account.name", "resource_name", "must be %s or left out", name)
	}
	memberID, err := authn.NewID(s.cfg.Random)
	if err != nil {
		return nil, err
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Account, error) {
		if err := accountUntagged(tx, name.String()); err != nil {
			return nil, err
		}
		taken, err := tx.Exists(name.Tenant().Record())
		if err != nil {
			return nil, err
		}
		if taken {
			return nil, rpcerr.AlreadyExists(name.String())
		}
		if mine, _ := tx.Peek(resource.EmailIndexPrefix(owner), accountsOfLogin); own && len(mine) >= accountsOfLogin {
			return nil, rpcerr.QuotaExceeded("accounts", accountsOfLogin, "", "a person may make an account while in fewer than %d", accountsOfLogin)
		}
		rec := &storev1.AccountRecord{Account: &breakwaterv1.Account{
			Name: name.String(), DisplayName: req.GetAccount().GetDisplayName(), Labels: req.GetAccount().GetLabels(),
			Uid: s.cfg.NewID(tx.Now()), CreateTime: timestamppb.New(tx.Now()),
		}}
		if rec.GetAccount().GetDisplayName() == "" {
			rec.Account.DisplayName = id
		}
		first := &breakwaterv1.Member{
			Name: resource.MemberName(id, memberID), Email: owner, Role: breakwaterv1.Member_OWNER,
			State: breakwaterv1.Member_INVITED, CreateTime: timestamppb.New(tx.Now()), UpdateTime: timestamppb.New(tx.Now()),
		}
		if own {
			first.State = breakwaterv1.Member_ACTIVE
		} else if err := memberInvite(tx, id, first); err != nil {
			return nil, err
		}
		tx.PutRaw(resource.AccountIndex(id), nil)
		tx.PutRaw(resource.EmailIndex(owner, id), []byte(memberID))
		if err := tx.PutNew(name.Tenant().Member(memberID), &storev1.MemberRecord{Member: first}); err != nil {
			return nil, err
		}
		if s.cfg.Began != nil {
			if err := s.cfg.Began(tx, id); err != nil {
				return nil, err
			}
		}
		return accountStore(tx, name, rec, "account created, first owner "+owner, nil)
	})
}

// GetAccount implements AccountService. A deleted account is shown until it is purged.
func (s *Accounts) GetAccount(ctx context.Context, req *breakwaterv1.GetAccountRequest) (*breakwaterv1.Account, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	rec, ok, err := accountRead(view, name.Account)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, rpcerr.NotFound(name.String())
	}
	return accountShown(rec), nil
}

func accountRead(view change.View, account string) (*storev1.AccountRecord, bool, error) {
	kv, ok := view.Get(resource.ForAccount(account).Record())
	if !ok {
		return nil, false, nil
	}
	rec := &storev1.AccountRecord{}
	return rec, true, proto.Unmarshal(kv.Value, rec)
}

// accountVisible yields the IDs of the accounts that a principal may list, in order and
// strictly after one.
func accountVisible(view change.View, p authn.Principal, after string, yield func(account string) bool) {
	if !p.Unlimited() {
		var mine []string
		for _, g := range p.Grants {
			if permission.Granted(g.Permissions, "accounts.list") {
				mine = append(mine, g.Account)
			}
		}
		slices.Sort(mine)
		for _, account := range mine {
			if account > after && !yield(account) {
				return
			}
		}
		return
	}
	cursor := ""
	if after != "" {
		cursor = resource.AccountIndex(after)
	}
	for {
		kvs, more := view.List(resource.AccountIndexPrefix, cursor, listing.MaxPageSize)
		for _, kv := range kvs {
			if !yield(strings.TrimPrefix(kv.Key, resource.AccountIndexPrefix)) {
				return
			}
			cursor = kv.Key
		}
		if !more {
			return
		}
	}
}

// ListAccounts implements AccountService: operators see all, others where they may.
func (s *Accounts) ListAccounts(ctx context.Context, req *breakwaterv1.ListAccountsRequest) (*breakwaterv1.ListAccountsResponse, error) {
	p := call.From(ctx).Principal
	q, err := listing.Parse(req, &breakwaterv1.Account{}, listing.Options{Scope: p.ID})
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	accounts, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Account) bool) error {
		var failed error
		accountVisible(view, p, after, func(account string) bool {
			rec, ok, err := accountRead(view, account)
			if err != nil {
				failed = err
				return false
			}
			if !ok || rec.GetAccount().GetDeleteTime() != nil && !q.ShowDeleted {
				return true
			}
			return yield(account, accountShown(rec))
		})
		return failed
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListAccountsResponse{Accounts: accounts, NextPageToken: next}, nil
}

// UpdateAccount implements AccountService.
func (s *Accounts) UpdateAccount(ctx context.Context, req *breakwaterv1.UpdateAccountRequest) (*breakwaterv1.Account, error) {
	name, err := resource.ParseName(req.GetAccount().GetName())
	if err != nil {
		return nil, err
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Account, error) {
		rec, err := accountOpen(tx, name, req.GetAccount().GetEtag())
		if err != nil {
			return nil, err
		}
		if rec.GetAccount().GetDeleteTime() != nil {
			return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.String(), "%s is deleted; bring it back with :undelete first", name)
		}
		changed, err := masks.Apply(rec.GetAccount(), req.GetAccount(), req.GetUpdateMask(), masks.Options{})
		if err != nil {
			return nil, err
		}
		if len(changed) == 0 {
			return accountShown(rec), nil
		}
		if rec.GetAccount().GetDisplayName() == "" {
			rec.Account.DisplayName = name.Account
		}
		return accountStore(tx, name, rec, "account changed", changed)
	})
}

// DeleteAccount implements AccountService: softly, so that its sites leave the edge now and
// everything is there again after UndeleteAccount. Nothing is paid for beyond the period
// unless that comes before its end.
func (s *Accounts) DeleteAccount(ctx context.Context, req *breakwaterv1.DeleteAccountRequest) (*breakwaterv1.Account, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Account, error) {
		rec, err := accountOpen(tx, name, req.GetEtag())
		if err != nil {
			return nil, err
		}
		if rec.GetAccount().GetDeleteTime() != nil {
			return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.String(), "%s is deleted already", name)
		}
		rec.Account.DeleteTime = timestamppb.New(tx.Now())
		rec.Account.PurgeTime = timestamppb.New(tx.Now().Add(accountRetention))
		if s.cfg.Billing != nil {
			if err := s.cfg.Billing.AccountDeleted(tx, name.Account); err != nil {
				return nil, err
			}
		}
		return accountStore(tx, name, rec, "account deleted", []string{"deleteTime", "purgeTime"})
	})
}

// UndeleteAccount implements AccountService. Once the purge time has passed, parts may be
// gone, so there is no way back.
func (s *Accounts) UndeleteAccount(ctx context.Context, req *breakwaterv1.UndeleteAccountRequest) (*breakwaterv1.Account, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Account, error) {
		rec, err := accountOpen(tx, name, req.GetEtag())
		if err != nil {
			return nil, err
		}
		switch {
		case rec.GetAccount().GetDeleteTime() == nil:
			return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.String(), "%s is not deleted", name)
		case !tx.Now().Before(rec.GetAccount().GetPurgeTime().AsTime()):
			return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.String(), "%s is being purged", name)
		}
		rec.Account.DeleteTime, rec.Account.PurgeTime = nil, nil
		if s.cfg.Billing != nil {
			if err := s.cfg.Billing.AccountRestored(tx, name.Account); err != nil {
				return nil, err
			}
		}
		return accountStore(tx, name, rec, "account brought back", []string{"deleteTime", "purgeTime"})
	})
}
