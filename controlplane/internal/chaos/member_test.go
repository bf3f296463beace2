package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// replace puts an empty member in the place of one that is dead, as an operator does whose
// machine is lost: it is removed, and a new one joins under the same addresses, as a learner
// until it has caught up.
func (c *cluster) replace(m *member) {
	c.t.Helper()
	eventually(c.t, m.name+" is removed", func(ctx context.Context) error {
		old, err := c.listed(ctx, m)
		if err != nil || old == nil {
			return err
		}
		_, err = c.root.MemberRemove(ctx, old.GetID())
		return err
	})
	if err := os.RemoveAll(m.data); err != nil {
		c.t.Fatal(err)
	}
	took(c.t, "a member may join", func() { c.invite(m) })
	if existing := "--initial-cluster-state=existing"; !slices.Contains(m.args, existing) {
		m.args = append(m.args, existing)
	}
	m.start()
	took(c.t, "it has a vote", func() { c.promote(m) })
}

// invite adds a member as a learner. The others refuse for five seconds after they lost one.
func (c *cluster) invite(m *member) {
	c.t.Helper()
	eventually(c.t, m.name+" may join", func(ctx context.Context) error {
		added, err := c.listed(ctx, m)
		if err != nil || added != nil {
			return err
		}
		_, err = c.root.MemberAddAsLearner(ctx, []string{m.peer})
		return err
	})
}

// promote gives a learner a vote, once it has caught up.
func (c *cluster) promote(m *member) {
	c.t.Helper()
	eventually(c.t, m.name+" has a vote", func(ctx context.Context) error {
		joined, err := c.listed(ctx, m)
		if err != nil {
			return err
		}
		if joined == nil {
			return fmt.Errorf("%s is no member", m.name)
		}
		if joined.GetIsLearner() {
			_, err = c.root.MemberPromote(ctx, joined.GetID())
		}
		return err
	})
}

// listed is how the cluster knows a member; nil where it does not.
func (c *cluster) listed(ctx context.Context, m *member) (*etcdserverpb.Member, error) {
	list, err := c.root.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	for _, known := range list.Members {
		if slices.Contains(known.GetPeerURLs(), m.peer) {
			return known, nil
		}
	}
	return nil, nil //nolint:nilnil // no member is a good answer
}
