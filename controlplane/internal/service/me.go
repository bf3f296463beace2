package service

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// GetMe implements TokenService: it repeats what authentication found, so that a caller
// sees what the server would decide by.
func (s *Tokens) GetMe(ctx context.Context, _ *breakwaterv1.GetMeRequest) (*breakwaterv1.Me, error) {
	p := call.From(ctx).Principal
	me := &breakwaterv1.Me{Principal: p.ID, Email: p.Email, Kind: meKind(p.Kind)}
	if p.OnBehalfOf != "" {
		me.Email = p.OnBehalfOf
	}
	for _, g := range p.Grants {
		me.Grants = append(me.Grants, &breakwaterv1.Me_Grant{
			Account: resource.AccountName(g.Account), Role: g.Role, Permissions: g.Permissions, Sites: g.Sites,
		})
	}
	if !p.Expires.IsZero() {
		me.ExpireTime = timestamppb.New(p.Expires)
	}
	return me, nil
}

func meKind(k authn.Kind) breakwaterv1.Me_Kind {
	switch k {
	case authn.Operator:
		return breakwaterv1.Me_OPERATOR
	case authn.Token:
		return breakwaterv1.Me_TOKEN
	case authn.Login:
		return breakwaterv1.Me_LOGIN
	case authn.Anonymous, authn.Edge:
	}
	return breakwaterv1.Me_KIND_UNSPECIFIED
}
