package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// network carries every connection between processes and can cut any pair of them.
type network struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // the life of the network, not of a call

	mu    sync.Mutex
	gates map[[2]string]chan struct{} // closed: open for bytes
	conns map[net.Conn]struct{}
	hosts map[string]string // names by addresses of hosts that there are none of
	wg    sync.WaitGroup
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n := &network{t: t, ctx: ctx, gates: map[[2]string]chan struct{}{}, conns: map[net.Conn]struct{}{}, hosts: map[string]string{}}
	t.Cleanup(func() {
		cancel()
		n.mu.Lock()
		for c := range n.conns {
			_ = c.Close()
		}
		n.mu.Unlock()
		n.wg.Wait()
	})
	return n
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

// gate is closed while bytes flow between two.
func (n *network) gate(a, b string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, ok := n.gates[pair(a, b)]
	if !ok {
		g = make(chan struct{})
		close(g)
		n.gates[pair(a, b)] = g
	}
	return g
}

// cut lets no byte through between a and each of the others.
func (n *network) cut(a string, others ...string) {
	n.heal(a, others...) // whoever waits at a gate must not wait for ever
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range others {
		n.gates[pair(a, b)] = make(chan struct{})
	}
}

// heal lets bytes flow again between a and each of the others, those that waited first.
func (n *network) heal(a string, others ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range others {
		if g, ok := n.gates[pair(a, b)]; ok {
			select {
			case <-g:
			default:
				close(g)
			}
		}
	}
}

func (n *network) listen() net.Listener {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.wg.Go(func() {
		<-n.ctx.Done()
		_ = l.Close()
	})
	return l
}

// link returns an address at which one process reaches another.
func (n *network) link(from, to, address string) string {
	n.t.Helper()
	l := n.listen()
	n.accept(l, func(c net.Conn) {
		n.carry(c, c, from, to, address)
	})
	return l.Addr().String()
}

// host gives a process an address at which others reach it through their proxies, and not
// otherwise. It is no name, since etcd looks names up.
func (n *network) host(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	address := fmt.Sprintf("192.0.2.%d", len(n.hosts)+1)
	n.hosts[address] = name
	return address
}

// proxy returns the URL of an HTTP proxy for a process: hosts are processes on loopback.
func (n *network) proxy(from string) string {
	n.t.Helper()
	l := n.listen()
	n.accept(l, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil || req.Method != http.MethodConnect {
			return
		}
		host, port, err := net.SplitHostPort(req.Host)
		if err != nil {
			return
		}
		n.mu.Lock()
		name := n.hosts[host]
		n.mu.Unlock()
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		n.carry(c, r, from, name, net.JoinHostPort("127.0.0.1", port))
	})
	return "http://" + l.Addr().String()
}

func (n *network) accept(l net.Listener, serve func(net.Conn)) {
	n.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() {
				defer n.hold(c)()
				serve(c)
			})
		}
	})
}

// hold closes a connection with the network at the latest; the result closes it now.
func (n *network) hold(c net.Conn) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = struct{}{}
	if n.ctx.Err() != nil {
		_ = c.Close()
	}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, c)
		_ = c.Close()
	}
}

// carry carries bytes both ways until either side ends.
func (n *network) carry(c net.Conn, in io.Reader, from, to, address string) {
	select {
	case <-n.gate(from, to):
	case <-n.ctx.Done():
		return
	}
	var d net.Dialer
	there, err := d.DialContext(n.ctx, "tcp", address)
	if err != nil {
		return
	}
	defer n.hold(there)()
	var wg sync.WaitGroup
	wg.Go(func() { n.pump(there, in, from, to); _ = there.Close(); _ = c.Close() })
	n.pump(c, there, from, to)
	_ = there.Close()
	_ = c.Close()
	wg.Wait()
}

func (n *network) pump(to io.Writer, from io.Reader, a, b string) {
	buf := make([]byte, 32<<10)
	for {
		k, err := from.Read(buf)
		if k > 0 {
			select {
			case <-n.gate(a, b):
			case <-n.ctx.Done():
				return
			}
			if _, err := to.Write(buf[:k]); err != nil {
				return
			}
		}
		if err != nil {
			// An end does not pass a cut either.
			select {
			case <-n.gate(a, b):
			case <-n.ctx.Done():
			}
			return
		}
	}
}

// lastPort is the port that was given out last. Ports come from below those that systems
// give to whoever asks for any, since the address is used only later, and again after its
// process was killed.
var lastPort atomic.Int32

// freeAddress is a loopback address that nobody listens at, and that nobody else is given.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, ports = 20_000, 12_000
	lastPort.CompareAndSwap(0, int32(os.Getpid()*97%ports))
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+int(lastPort.Add(1))%ports))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		return address
	}
	t.Fatal("no port is free")
	return ""
}
