package embedded

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"google.golang.org/grpc"
)

// localKV calls the server's reads and transactions as functions. They are nearly all that
// a control plane asks of its store, and encoding them for a socket would cost more than
// the work itself. Everything else goes over the socket.
type localKV struct {
	pb.KVClient
	server pb.KVServer

	// mu is held for reading by each call, so that the server does not go away below it.
	mu     sync.RWMutex
	closed bool
}

// useLocalKV makes a client of the server call it directly, until the result is closed.
func useLocalKV(client *clientv3.Client, server *etcdserver.EtcdServer) *localKV {
	l := &localKV{
		KVClient: pb.NewKVClient(client.ActiveConnection()),
		server:   v3rpc.NewQuotaKVServer(server),
	}
	client.KV = clientv3.NewKVFromKVClient(l, client)
	return l
}

// close waits for the calls that run, and has later ones fail as they do on a socket.
func (l *localKV) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *localKV) Range(ctx context.Context, in *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, rpctypes.ErrGRPCStopped
	}
	return l.server.Range(ctx, in)
}

func (l *localKV) Txn(ctx context.Context, in *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, rpctypes.ErrGRPCStopped
	}
	return l.server.Txn(ctx, in)
}
