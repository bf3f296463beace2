package rpcerr_test

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestTogether(t *testing.T) {
	_, noDomain := domain.Parse("*")
	ab := rpcerr.Invalid(rpcerr.Violation{Field: "a", Message: "first"}, rpcerr.Violation{Field: "b"})
	bc := rpcerr.Invalid(rpcerr.Violation{Field: "b"}, rpcerr.Violation{Field: "c"})
	gone, broken := rpcerr.NotFound("x"), errors.New("broken")
	for _, tc := range []struct {
		name          string
		first, second error
		fields        []string
	}{
		{"fields of both", ab, bc, []string{"a", "b", "c"}},
		{"another type", noDomain, ab, []string{"domain", "a", "b"}},
		{"only the first", ab, nil, []string{"a", "b"}},
		{"only the second", nil, bc, []string{"b", "c"}},
	} {
		bad, _ := detail[*errdetails.BadRequest](rpcerr.Status(rpcerr.Together(tc.first, tc.second)))
		var fields []string
		for _, v := range bad.GetFieldViolations() {
			fields = append(fields, v.GetField())
		}
		if !slices.Equal(fields, tc.fields) {
			t.Errorf("%s: %v, want %v", tc.name, fields, tc.fields)
		}
	}
	for _, tc := range [][3]error{{nil, nil, nil}, {gone, ab, gone}, {ab, gone, ab}, {broken, ab, broken}} {
		if got := rpcerr.Together(tc[0], tc[1]); !errors.Is(got, tc[2]) {
			t.Errorf("%v and %v are %v", tc[0], tc[1], got)
		}
	}
}
