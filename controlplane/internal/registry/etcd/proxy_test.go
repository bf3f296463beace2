package etcd_test

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// proxy is a unix socket in front of a server that can be cut, stalled and pointed at
// another server.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	flowing *sync.Cond
	target  string
	cut     bool
	stalled bool
	conns   map[net.Conn]struct{}
}

// newProxy starts a proxy and connects a client through it.
func newProxy(t *testing.T, s *embedded.Server) (*proxy, *clientv3.Client) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "proxy.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: make(map[net.Conn]struct{})}
	p.flowing = sync.NewCond(&p.mu)
	p.point(s)
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.setCut(true)
		p.wg.Wait()
	})
	client, err := etcd.Dial(t.Context(), etcd.ClientConfig{Endpoints: []string{"unix://" + socket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return p, client
}

func (p *proxy) point(s *embedded.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = strings.TrimPrefix(s.Endpoints()[0], "unix://")
}

// setCut closes all connections and refuses new ones, or lets them through again.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		p.stalled = false
		for c := range p.conns {
			_ = c.Close()
		}
	}
	p.flowing.Broadcast()
}

// stall keeps connections open and lets nothing through.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

func (p *proxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, cut := p.target, p.cut
		p.mu.Unlock()
		out, err := net.Dial("unix", target)
		if cut || err != nil {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		p.wg.Go(func() { p.copy(in, out) })
		p.wg.Go(func() { p.copy(out, in) })
	}
}

func (p *proxy) copy(dst, src net.Conn) {
	p.mu.Lock()
	p.conns[src] = struct{}{}
	if p.cut {
		_ = src.Close()
	}
	p.mu.Unlock()
	_, _ = io.Copy(gate{p, dst}, src)
	_ = src.Close()
	_ = dst.Close()
	p.mu.Lock()
	delete(p.conns, src)
	p.mu.Unlock()
}

// gate holds bytes back while the proxy is stalled.
type gate struct {
	p *proxy
	net.Conn
}

func (g gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	for g.p.stalled {
		g.p.flowing.Wait()
	}
	g.p.mu.Unlock()
	return g.Conn.Write(b)
}
