package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// connections is how many of them the clients of one contender share.
const connections = 8

// rawEtcd starts an embedded etcd with a development server's settings and returns clients
// that reach it over TCP, and one that calls it by functions.
func rawEtcd(b *testing.B) (overTCP []*clientv3.Client, byCall *clientv3.Client, server *embedded.Server) {
	b.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		b.Fatal(err)
	}
	server, err = embedded.Start(b.Context(), embedded.Config{Dir: b.TempDir(), Listen: addr})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Close)
	for range connections {
		overTCP = append(overTCP, dialEtcd(b, "http://"+addr))
	}
	return overTCP, server.Client(), server
}

func dialEtcd(b *testing.B, endpoint string) *clientv3.Client {
	b.Helper()
	client, err := etcd.Dial(b.Context(), etcd.ClientConfig{Endpoints: []string{endpoint}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// write is one write of a transaction that a call made.
type write struct {
	key   string
	value string
	// again says that the key was there before; gone, that the write deletes it.
	again, gone bool
}

// shape is what a call writes, read back from the store.
type shape struct {
	writes []write
	bytes  int
	// compares is how many more keys than those it writes again the change depends on.
	compares int
}

func (s shape) String() string {
	return fmt.Sprintf("%d writes, %d bytes, %d compares", len(s.writes), s.bytes, s.allCompares())
}

func (s shape) allCompares() int {
	n := s.compares
	for _, w := range s.writes {
		if w.again {
			n++
		}
	}
	return n
}

// shapeOf reads what the newest write of a key wrote together with it.
func shapeOf(b *testing.B, client *clientv3.Client, key string, compares int) shape {
	b.Helper()
	got, err := client.Get(b.Context(), key)
	if err != nil || len(got.Kvs) != 1 {
		b.Fatalf("%s: %d values, %v", key, len(got.Kvs), err)
	}
	revision := got.Kvs[0].GetModRevision()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	s := shape{compares: compares}
	for resp := range client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(revision)) {
		if err := resp.Err(); err != nil {
			b.Fatal(err)
		}
		for _, ev := range resp.Events {
			if ev.GetKv().GetModRevision() != revision {
				continue
			}
			w := write{key: string(ev.GetKv().GetKey()), value: string(ev.GetKv().GetValue()), gone: ev.GetType() == clientv3.EventTypeDelete}
			w.again = !w.gone && ev.GetKv().GetCreateRevision() != revision
			s.writes = append(s.writes, w)
			s.bytes += len(w.key) + len(w.value)
		}
		return s
	}
	b.Fatal("the watch ended")
	return s
}

// behind is how many calls after its key was made a client deletes it, where the real call
// deletes an old one.
const behind = 10

// rawWriter makes transactions of a shape.
type rawWriter struct {
	shape     shape
	clients   []*clientv3.Client
	revisions [clients]int64
	shared    int64
}

func newRawWriter(b *testing.B, s shape, over ...*clientv3.Client) *rawWriter {
	b.Helper()
	w := &rawWriter{shape: s, clients: over}
	for i := range s.compares {
		resp, err := over[0].Put(b.Context(), w.sharedKey(i), "account")
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			w.shared = resp.Header.GetRevision()
		}
	}
	return w
}

func (w *rawWriter) sharedKey(i int) string { return fmt.Sprintf("raw/%p/shared/%d", w, i) }

// sized is a key of a client that is as long as the real one, where that is possible.
func (w *rawWriter) sized(key string, parts ...int) string {
	mine := fmt.Sprintf("raw/%p", w)
	for _, p := range parts {
		mine += fmt.Sprintf("/%d", p)
	}
	return mine + strings.Repeat("x", max(0, len(key)-len(mine)))
}

var errLost = errors.New("a compare of the raw client failed")

// do commits one transaction: the keys that a client writes again under a compare of their
// revision, those that are new, and a compare of what all share.
func (w *rawWriter) do(ctx context.Context, client, n int) error {
	var ifs []clientv3.Cmp
	var then, otherwise []clientv3.Op
	depend := func(key string, revision int64) {
		ifs = append(ifs, clientv3.Compare(clientv3.ModRevision(key), "=", revision))
		otherwise = append(otherwise, clientv3.OpGet(key))
	}
	if w.shape.compares > 0 {
		depend(w.sharedKey(0), w.shared)
	}
	for i := 1; i < w.shape.compares; i++ {
		depend(w.sized("", -1-i, client, n), 0) // a key whose absence the change depends on
	}
	for i, op := range w.shape.writes {
		switch {
		case op.gone:
			then = append(then, clientv3.OpDelete(w.sized(op.key, 0, client, max(0, n-behind))))
		case op.again:
			key := w.sized(op.key, i, client)
			depend(key, w.revisions[client])
			then = append(then, clientv3.OpPut(key, op.value))
		default:
			then = append(then, clientv3.OpPut(w.sized(op.key, i, client, n), op.value))
		}
	}
	resp, err := w.clients[client%len(w.clients)].Txn(ctx).If(ifs...).Then(then...).Else(otherwise...).Commit()
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		return errLost
	}
	w.revisions[client] = resp.Header.GetRevision()
	return nil
}

// emptyCalls starts a gRPC server with one call that does nothing, without interceptors.
func emptyCalls(b *testing.B) []*grpc.ClientConn {
	b.Helper()
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Empty",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Call",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in := &emptypb.Empty{}
				return &emptypb.Empty{}, decode(in)
			},
		}},
	}, struct{}{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	b.Cleanup(func() {
		server.Stop()
		<-done
	})
	return dialGRPC(b, ln.Addr().String())
}

func dialGRPC(b *testing.B, addr string) []*grpc.ClientConn {
	b.Helper()
	var conns []*grpc.ClientConn
	for range connections {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}
