package chaos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	rootPassword  = "a password of root's"
	userPassword  = "a password of the control plane's"
	edgePassword  = "a password of the edge's"
	patience      = 2 * time.Minute
	settleAttempt = 100 * time.Millisecond
)

// etcdLimits are what the documentation says that an external etcd needs.
var etcdLimits = []string{"--max-txn-ops=8192", "--max-request-bytes=13631488", "--quota-backend-bytes=8589934592"}

// noFsync keeps the disk of this machine out of the test; see [member.startSlow].
const noFsync = "--unsafe-no-fsync"

// cluster is an etcd cluster of real processes.
type cluster struct {
	t       *testing.T
	net     *network
	dir, ca string
	members []*member
	root    *clientv3.Client
	// compactions counts how often history was compacted.
	compactions atomic.Int64
}

type member struct {
	*process
	// address is where clients reach it, and peer where other members do.
	address, peer string
	// data is its directory.
	data string
}

// startCluster starts members, with TLS, and the limits that the documentation names.
func startCluster(t *testing.T, n *network, dir, ca, prefix string, size int) *cluster {
	t.Helper()
	c := &cluster{t: t, net: n, dir: dir, ca: ca}
	var initial []string
	peers := make([]string, size)
	for i := range size {
		name := fmt.Sprintf("%s-%d", prefix, i+1)
		_, port, err := net.SplitHostPort(freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		peers[i] = "https://" + net.JoinHostPort(n.host(name), port)
		initial = append(initial, name+"="+peers[i])
	}
	for i := range size {
		name := fmt.Sprintf("%s-%d", prefix, i+1)
		address := freeAddress(t)
		client := "https://" + address
		m := &member{address: address, peer: peers[i], data: filepath.Join(dir, name+".etcd")}
		m.process = newProcess(t, dir, name, "etcd", []string{"HTTPS_PROXY=" + n.proxy(name)}, append([]string{
			"--name", name, "--data-dir", m.data,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", prefix,
			"--listen-peer-urls", "https://127.0.0.1" + peers[i][strings.LastIndex(peers[i], ":"):],
			"--initial-advertise-peer-urls", peers[i], "--peer-auto-tls",
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--cert-file", filepath.Join(dir, "listener.pem"), "--key-file", filepath.Join(dir, "listener.key"),
			"--bcrypt-cost=4", "--heartbeat-interval=100", "--election-timeout=1000", noFsync,
			"--enable-grpc-gateway=false", "--log-level=warn", "--watch-progress-notify-interval=1s",
		}, etcdLimits...)...)
		c.members = append(c.members, m)
		m.start()
	}
	c.root = c.dial("root", rootPassword)
	return c
}

// dial returns a client of its own for the test; the cluster need not have users yet.
func (c *cluster) dial(user, password string) *clientv3.Client {
	c.t.Helper()
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		c.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	deadline := time.Now().Add(patience)
	for {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: c.endpoints(), Username: user, Password: password, DialTimeout: 5 * time.Second,
			DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
			TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Logger: zap.NewNop(),
			DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second}, MinConnectTimeout: 5 * time.Second,
			})},
		})
		if err == nil {
			c.t.Cleanup(func() { _ = client.Close() })
			return client
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("etcd: %v", err)
		}
	}
}

func (c *cluster) endpoints() []string {
	out := make([]string, len(c.members))
	for i, m := range c.members {
		out[i] = "https://" + m.address
	}
	return out
}

// linked returns endpoints that go through the network's cuts.
func (c *cluster) linked(from string) []string {
	out := make([]string, len(c.members))
	for i, m := range c.members {
		out[i] = "https://" + c.net.link(from, m.name, m.address)
	}
	return out
}

// secure makes users: the control plane, and the edge with what the documentation gives it.
func (c *cluster) secure() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	every := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatalf("etcd users: %v", err)
		}
	}
	auth := c.root
	_, err := auth.RoleAdd(ctx, "breakwater")
	every(err)
	_, err = auth.RoleGrantPermission(ctx, "breakwater", "\x00", "\x00", clientv3.PermissionType(clientv3.PermReadWrite))
	every(err)
	_, err = auth.RoleAdd(ctx, "edge")
	every(err)
	for _, prefix := range []string{"edge/", "base/"} {
		_, err = auth.RoleGrantPermission(ctx, "edge", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermRead))
		every(err)
	}
	for user, with := range map[string][2]string{
		"root": {rootPassword, "root"}, "breakwater": {userPassword, "breakwater"}, "edge": {edgePassword, "edge"},
	} {
		if user != "root" {
			c.file(user+".password", with[0])
		}
		_, err = auth.UserAdd(ctx, user, with[0])
		every(err)
		_, err = auth.UserGrantRole(ctx, user, with[1])
		every(err)
	}
	_, err = auth.AuthEnable(ctx)
	every(err)
}

func (c *cluster) file(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// leader is the member that leads.
func (c *cluster) leader() *member {
	c.t.Helper()
	var found *member
	eventually(c.t, "etcd has a leader", func(ctx context.Context) error {
		for _, m := range c.members {
			st, err := c.root.Status(ctx, "https://"+m.address)
			if err == nil && st.Leader == st.Header.GetMemberId() {
				found = m
				return nil
			}
		}
		return fmt.Errorf("no member leads")
	})
	return found
}

// deposed waits until another member leads, as the others see it.
func (c *cluster) deposed(m *member) {
	c.t.Helper()
	eventually(c.t, "another member than "+m.name+" leads", func(ctx context.Context) error {
		for _, o := range c.members {
			if o == m {
				continue
			}
			bounded, cancel := context.WithTimeout(ctx, time.Second)
			st, err := c.root.Status(bounded, "https://"+o.address)
			cancel()
			if err == nil && st.Leader == st.Header.GetMemberId() {
				return nil
			}
		}
		return fmt.Errorf("%s still leads", m.name)
	})
}

// compact forgets all history up to now.
func (c *cluster) compact() {
	c.t.Helper()
	c.compactions.Add(1)
	eventually(c.t, "etcd compacts", func(ctx context.Context) error {
		resp, err := c.root.Get(ctx, "x", clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		_, err = c.root.Compact(ctx, resp.Header.GetRevision())
		return err
	})
}

// others are the names of all other members.
func (c *cluster) others(m *member) []string {
	var out []string
	for _, o := range c.members {
		if o != m {
			out = append(out, o.name)
		}
	}
	return out
}

// eventually tries until it succeeds. Attempts are bounded, since what they ask may hang.
func eventually(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	pause := time.NewTicker(settleAttempt)
	defer pause.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
		<-pause.C
	}
}
