package accesstest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
)

// Issue makes the credentials of a matrix through the API, as the operator. Both accounts
// must exist. now is the server's clock, and advance moves it by an hour, which ends the
// credential that shall be expired.
func Issue(ctx context.Context, conn grpc.ClientConnInterface, operator string, table *authz.Table, w World, now time.Time, advance func() error) (Credentials, error) {
	tokens, ctx := breakwaterv1.NewTokenServiceClient(conn), Bearer(ctx, operator)
	var failed error
	issue := func(account string, t *breakwaterv1.Token) *breakwaterv1.CreateTokenResponse {
		if failed != nil {
			return nil
		}
		made, err := tokens.CreateToken(ctx, &breakwaterv1.CreateTokenRequest{Parent: "accounts/" + account, Token: t})
		failed = err
		return made
	}
	all := []string{"*"}
	c := Credentials{
		Operator:  operator,
		Malformed: "bwt_nonsense",
		// As long as a token, with a checksum that holds, and made by nobody.
		Unknown:     "bwt_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + "le2qf5y",
		Star:        issue(w.Account, &breakwaterv1.Token{Permissions: all}).GetSecret(),
		OtherTenant: issue(w.Other, &breakwaterv1.Token{Permissions: all}).GetSecret(),
		WrongSite:   issue(w.Account, &breakwaterv1.Token{Permissions: all, Sites: []string{"wrong." + w.Site}}).GetSecret(),
		Expired: issue(w.Account, &breakwaterv1.Token{
			Permissions: all, ExpireTime: timestamppb.New(now.Add(time.Minute)),
		}).GetSecret(),
	}
	revoked := issue(w.Account, &breakwaterv1.Token{Permissions: all})
	c.Revoked = revoked.GetSecret()
	only := map[string]string{}
	for _, r := range table.Rules() {
		tenant := r.Scope == breakwaterv1.Access_ACCOUNT || r.Scope == breakwaterv1.Access_SITE
		if _, done := only[r.Permission]; tenant && !done {
			only[r.Permission] = issue(w.Account, &breakwaterv1.Token{Permissions: []string{r.Permission}}).GetSecret()
		}
	}
	if failed != nil {
		return c, fmt.Errorf("accesstest: making tokens: %w", failed)
	}
	c.Only = func(permission string) string { return only[permission] }
	names := make([]string, 0, len(only))
	for p := range only {
		names = append(names, p)
	}
	slices.Sort(names)
	c.Without = func(permission string) string {
		for _, p := range names {
			if p != permission {
				return only[p]
			}
		}
		return ""
	}
	if _, err := tokens.DeleteToken(ctx, &breakwaterv1.DeleteTokenRequest{Name: revoked.GetToken().GetName()}); err != nil {
		return c, fmt.Errorf("accesstest: revoking a token: %w", err)
	}
	return c, advance()
}
