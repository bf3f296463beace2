package service

import (
	"context"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/accesstest"
)

func TestAccessMatrix(t *testing.T) {
	w := newAccountWorld(t)
	w.account("acme")
	w.account("other")
	world := accesstest.World{Account: "acme", Site: "shop.test", Other: "other"}
	credentials, err := accesstest.Issue(t.Context(), w.conn, w.operator, w.table, world, w.clock.Now(), func() error {
		w.clock.Advance(time.Hour)
		return nil
	})
	must(t, err)
	cases := accesstest.Cases(w.table, world, credentials)
	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
	for _, c := range cases {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := c.Check(accesstest.Invoke(ctx, w.conn, c)); err != nil {
			t.Error(err)
		}
		cancel()
		if _, path, _, ok := c.HTTP(world); !ok || path == "" {
			t.Errorf("%s has no route", c.Name)
		}
	}
}
