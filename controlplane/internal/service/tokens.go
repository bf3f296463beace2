package service

import (
	"context"
	"errors"
	"io"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// tokenLimit bounds the tokens of one account.
const tokenLimit = 1000

// TokensConfig is what the service of tokens needs.
type TokensConfig struct {
	Writer *change.Writer
	Source change.Source
	// Clock decides which tokens rest on one that expired.
	Clock clockwork.Clock
	// Random is crypto/rand.Reader but in tests.
	Random io.Reader
}

// Tokens implements TokenService.
type Tokens struct {
	breakwaterv1.UnimplementedTokenServiceServer
	cfg TokensConfig
	// permissions are those that there are.
	permissions permission.Set
}

// NewTokens makes the service of tokens.
func NewTokens(cfg TokensConfig) *Tokens {
	return &Tokens{cfg: cfg, permissions: authz.Permissions()}
}

var _ breakwaterv1.TokenServiceServer = (*Tokens)(nil)

// tokenShown is the token as an answer has it. values say whether its maker still stands.
func (s *Tokens) tokenShown(values authn.Values, account string, rec *storev1.TokenRecord) *breakwaterv1.Token {
	t, _ := proto.Clone(rec.GetToken()).(*breakwaterv1.Token)
	t.Etag = resource.Etag(rec.GetToken())
	t.Disabled = !authn.MakerStands(values, resource.ForAccount(account), rec, s.cfg.Clock.Now())
	return t
}

func tokenOpen(tx *change.Tx, name resource.Name, etag string) (*storev1.TokenRecord, error) {
	rec := &storev1.TokenRecord{}
	if err := tx.Get(name.Tenant().Token(name.ID), rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return nil, rpcerr.NotFound(name.String())
		}
		return nil, err
	}
	return rec, siteMeets(tx, etag, resource.Etag(rec.GetToken()), name.String())
}

// CreateToken implements TokenService. The secret is in the answer and nowhere else: where
// the answer is kept for an idempotency key it is sealed.
func (s *Tokens) CreateToken(ctx context.Context, req *breakwaterv1.CreateTokenRequest) (*breakwaterv1.CreateTokenResponse, error) {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	id, err := authn.NewID(s.cfg.Random)
	if err != nil {
		return nil, err
	}
	name := resource.Name{Account: parent.Account, Collection: "tokens", ID: id}
	wanted, err := s.wanted(req.GetToken())
	if err != nil {
		return nil, err
	}
	wanted.Name = name.String()
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.CreateTokenResponse, error) {
		p := tx.Call().Principal
		if err := tokenWithin(p, parent, wanted); err != nil {
			return nil, err
		}
		if err := accountUntagged(tx, name.String()); err != nil {
			return nil, err
		}
		if err := tokenDepth(tx, parent.Tenant(), p); err != nil {
			return nil, err
		}
		if all, _ := tx.Peek(name.Tenant().Tokens(), tokenLimit); len(all) >= tokenLimit {
			return nil, rpcerr.QuotaExceeded("tokens", tokenLimit, "", "an account has at most %d tokens", tokenLimit)
		}
		t, _ := proto.Clone(wanted).(*breakwaterv1.Token)
		t.Creator, t.CreateTime = p.ID, timestamppb.New(tx.Now())
		rec := &storev1.TokenRecord{Token: t, MakerToken: p.TokenID}
		if g, ok := p.GrantIn(parent.Account); ok && (p.Kind == authn.Login || p.OnBehalfOf != "") {
			rec.MakerMember = g.Member
		}
		tx.PutRaw(resource.TokenIndex(id), []byte(parent.Account))
		secret, err := s.tokenMint(tx, name, rec, "token created")
		return &breakwaterv1.CreateTokenResponse{Token: tokenFresh(rec), Secret: secret}, err
	})
}

// tokenFresh is a token that its maker has just made or rolled, so that the maker stands.
func tokenFresh(rec *storev1.TokenRecord) *breakwaterv1.Token {
	t, _ := proto.Clone(rec.GetToken()).(*breakwaterv1.Token)
	t.Etag = resource.Etag(rec.GetToken())
	return t
}

// tokenMint gives the token a new secret and stores it, unless nothing shall be stored.
func (s *Tokens) tokenMint(tx *change.Tx, name resource.Name, rec *storev1.TokenRecord, summary string) (secret string, err error) {
	rec.Token.UpdateTime = timestamppb.New(tx.Now())
	if tx.Call().ValidateOnly {
		return "", nil
	}
	secret, rec.SecretSha256, err = authn.Mint(authn.TokenCredential, name.ID, s.cfg.Random)
	if err != nil {
		return "", err
	}
	tx.SecretIn(name.String())
	tx.Audit(&breakwaterv1.AuditEvent{Resource: name.String(), Summary: summary})
	return secret, tx.Put(name.Tenant().Token(name.ID), rec)
}

// GetToken implements TokenService.
func (s *Tokens) GetToken(ctx context.Context, req *breakwaterv1.GetTokenRequest) (*breakwaterv1.Token, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	kv, ok := view.Get(name.Tenant().Token(name.ID))
	if !ok {
		return nil, rpcerr.NotFound(name.String())
	}
	var rec storev1.TokenRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return nil, err
	}
	return s.tokenShown(view, name.Account, &rec), nil
}

// ListTokens implements TokenService.
func (s *Tokens) ListTokens(ctx context.Context, req *breakwaterv1.ListTokensRequest) (*breakwaterv1.ListTokensResponse, error) {
	parent, err := resource.ParseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &breakwaterv1.Token{}, listing.Options{Scope: parent.String()})
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
	tokens, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Token) bool) error {
		return accountScan(view, parent.Tenant().Tokens(), after, func(kv registry.KV) (bool, error) {
			var rec storev1.TokenRecord
			if err := proto.Unmarshal(kv.Value, &rec); err != nil {
				return false, err
			}
			return yield(kv.Key, s.tokenShown(view, parent.Account, &rec)), nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListTokensResponse{Tokens: tokens, NextPageToken: next}, nil
}

// RollToken implements TokenService. Who rolls a token learns its new secret, so it takes
// as much as making the token would.
func (s *Tokens) RollToken(ctx context.Context, req *breakwaterv1.RollTokenRequest) (*breakwaterv1.RollTokenResponse, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.RollTokenResponse, error) {
		rec, err := tokenOpen(tx, name, req.GetEtag())
		if err != nil {
			return nil, err
		}
		if err := tokenWithin(tx.Call().Principal, name, rec.GetToken()); err != nil {
			return nil, err
		}
		if end := authn.Expiry(rec.GetToken()); !end.IsZero() && !tx.Now().Before(end) {
			return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.String(), "%s has expired: make a new one", name)
		}
		if err := tx.EraseAnswers(name.String()); err != nil {
			return nil, err
		}
		secret, err := s.tokenMint(tx, name, rec, "token rolled")
		return &breakwaterv1.RollTokenResponse{
			Token: s.tokenShown(s.cfg.Source.Cached(), name.Account, rec), Secret: secret,
		}, err
	})
}

// DeleteToken implements TokenService. Whoever holds the token is refused as soon as the
// caches have seen it, and the answers that hold its secret are erased.
func (s *Tokens) DeleteToken(ctx context.Context, req *breakwaterv1.DeleteTokenRequest) (*emptypb.Empty, error) {
	name, err := resource.ParseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return accountDo(ctx, s.cfg.Writer, s.cfg.Source, name.Tenant(), func(tx *change.Tx) (*emptypb.Empty, error) {
		rec, err := tokenOpen(tx, name, req.GetEtag())
		if err != nil {
			return nil, err
		}
		if err := tokenRevocable(tx.Call().Principal, name, rec.GetToken()); err != nil {
			return nil, err
		}
		if err := tx.EraseAnswers(name.String()); err != nil {
			return nil, err
		}
		tx.Delete(name.Tenant().Token(name.ID))
		tx.Delete(resource.TokenIndex(name.ID))
		tx.Audit(&breakwaterv1.AuditEvent{Resource: name.String(), Summary: "token revoked"})
		return &emptypb.Empty{}, nil
	})
}
