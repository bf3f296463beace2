package authn_test

import (
	"crypto/rand"
	"testing"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// BenchmarkToken authenticates an API token that rests on a member.
func BenchmarkToken(b *testing.B) {
	id, err := authn.NewID(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	credential, digest, err := authn.Mint(authn.TokenCredential, id, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	s := state{resource.TokenIndex(id): []byte("acme")}
	for key, m := range map[string]proto.Message{
		acme.Token(id): &storev1.TokenRecord{
			Token: &breakwaterv1.Token{Permissions: []string{"*"}}, SecretSha256: digest, MakerMember: "m",
		},
		acme.Member("m"): &storev1.MemberRecord{Member: &breakwaterv1.Member{
			Role: breakwaterv1.Member_OWNER, State: breakwaterv1.Member_ACTIVE,
		}},
	} {
		if s[key], err = proto.Marshal(m); err != nil {
			b.Fatal(err)
		}
	}
	auth := authn.New(authn.Config{View: func() authn.View { return s }, Clock: clockwork.NewRealClock()})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.Authenticate(b.Context(), credential, here, ""); err != nil {
			b.Fatal(err)
		}
	}
}
