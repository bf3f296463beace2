package registry

import (
	"context"
	"time"
)

// KV is one stored value with the revisions that wrote it. Value must not be modified.
type KV struct {
	Key   string
	Value []byte
	// CreateRevision is the revision that created the key; it changes when a key is
	// deleted and created again.
	CreateRevision int64
	// ModRevision is the revision that last wrote the key. Compare it to write safely.
	ModRevision int64
	// Lease is the lease the key ends with, or zero.
	Lease LeaseID
}

// LeaseID names a lease. The zero value is no lease.
type LeaseID int64

// Compare is a condition of a transaction: the key's modification revision must be
// ModRevision, where zero says that the key must not exist.
type Compare struct {
	Key         string
	ModRevision int64
}

// Op is one write of a transaction: a put, or a delete where Delete is set. Deleting a
// key that does not exist succeeds. A transaction names a key at most once. Value must not
// be modified after it was committed. A put under a lease that does not exist fails the
// whole transaction with [ErrNotFound].
type Op struct {
	Key    string
	Value  []byte
	Lease  LeaseID
	Delete bool
}

// Put returns the Op that stores value under key.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// PutLeased returns the Op that stores value under key until the lease ends.
func PutLeased(key string, value []byte, lease LeaseID) Op {
	return Op{Key: key, Value: value, Lease: lease}
}

// Delete returns the Op that removes key.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Txn is an atomic change: when every condition of If holds, all of Then is stored at one
// revision, else nothing is. Then must not be empty and holds at most [MaxTxnOps]
// operations. [Txn.Validate] checks the form.
type Txn struct {
	If   []Compare
	Then []Op
}

// MaxTxnOps is the number of operations, and of compares, that one transaction may hold.
// An external etcd needs --max-txn-ops of at least this.
const MaxTxnOps = 8192

// MaxRequestBytes is the size of one transaction that every implementation accepts. An
// external etcd needs --max-request-bytes of at least this.
const MaxRequestBytes = 12 << 20

// ListRequest asks for the keys that begin with Prefix, in ascending byte order.
type ListRequest struct {
	Prefix string
	// After leaves out the keys up to and including this one: the last key of the page
	// before.
	After string
	// Limit bounds the page; zero means 1,000. Values above 10,000 are taken as 10,000.
	Limit int
	// Revision asks for the state at a revision, so that pages agree with each other; zero
	// means the newest. A compacted one fails with [CompactedError], one that the store has
	// not reached with [ResetError]: whoever gave it out is gone.
	Revision int64
	// Descending reverses the order; After then leaves out the keys from it upwards. It
	// costs the store a read of everything below Prefix, so Prefix should be narrow.
	Descending bool
	// KeysOnly leaves the values out, for a page of keys that would be too large with them.
	KeysOnly bool
}

// ListResponse is a page of a list.
type ListResponse struct {
	KVs []KV
	// Revision is the revision that the page shows: the one asked for, or the store's own.
	Revision int64
	// More says that keys follow the last one of the page.
	More bool
}

// Event is one change of one key. For a delete, KV holds the key and, in ModRevision, the
// revision that deleted it.
type Event struct {
	KV
	Deleted bool
}

// Batch is what a watch delivers: all events of one revision or of several, in revision
// order and never split within a revision. An empty Events is a progress notice: nothing
// that the watch covers changed up to and including Revision.
type Batch struct {
	Revision int64
	Events   []Event
}

// Watch is one running watch. C delivers batches until the watch ends; then C is closed
// and Err says why. A consumer that does not keep up is not dropped: the store buffers
// within the limits of its implementation and then ends the watch with an error, after
// which the consumer lists again.
type Watch interface {
	// C delivers the batches. It is closed when the watch ends.
	C() <-chan Batch
	// Err is the reason of the end, valid once C is closed: the context's error, a
	// [CompactedError], a [ResetError] or [ErrUnavailable].
	Err() error
}

// ProgressRequester is what a [Watch] of either implementation is as well. A reader that
// waits for a revision that no event of the watched prefix will bring uses it to wait for
// a round trip in place of the usual seconds.
type ProgressRequester interface {
	// RequestProgress asks for a progress notice as soon as the watch has caught up. It
	// never blocks, and requests that meet are merged into one notice.
	RequestProgress()
}

// Store is the contract. All methods may be called concurrently; every one of them ends
// with its context and fails with [ErrUnavailable] when the store can't be reached or has
// no leader. A call whose outcome is not known (the connection broke after the request was
// sent) fails with [ErrUnknownOutcome], which is also [ErrUnavailable]. A read that its
// caller cancels fails with the context's own error; where the deadline passed it fails
// with [ErrUnavailable] and the context's error, both of which errors.Is finds.
type Store interface {
	// Get returns the newest value of key, or [ErrNotFound].
	Get(ctx context.Context, key string) (KV, error)

	// List returns a page of the keys below a prefix.
	List(ctx context.Context, req ListRequest) (ListResponse, error)

	// Commit applies a transaction and returns the revision that it made, or the newest
	// revision where nothing changed because every operation deletes a key that does not
	// exist. When a condition does not hold it stores nothing and fails with a
	// [ConflictError].
	Commit(ctx context.Context, txn Txn) (int64, error)

	// Watch delivers what changes below prefix after the revision after. It delivers
	// progress at least every few seconds, so that a consumer may treat silence as a
	// broken watch. It ends with the context, and its goroutines are done when C is closed:
	// whoever cancels the context reads C until then.
	Watch(ctx context.Context, prefix string, after int64) Watch

	// Revision returns a revision at or after every write that was acknowledged before the
	// call: the barrier for linearizable reads from a cache.
	Revision(ctx context.Context) (int64, error)

	// Grant makes a lease: keys put under it are deleted when ttl has passed without a
	// KeepAlive. The store may round ttl up, to whole seconds and to its shortest lease.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)

	// KeepAlive restarts the lease's time once, or fails with [ErrNotFound] when it ended.
	KeepAlive(ctx context.Context, id LeaseID) error

	// Revoke ends the lease and deletes its keys. A lease that ended already is no error.
	Revoke(ctx context.Context, id LeaseID) error

	// Status describes the store's health for /readyz and the quota stop.
	Status(ctx context.Context) (Status, error)
}

// Status is what a store says of itself.
type Status struct {
	// Cluster identifies the cluster and its history: it changes when a backup is restored.
	Cluster uint64
	// SizeBytes is the size of the data on disk, in use.
	SizeBytes int64
	// QuotaBytes is the limit at which the store refuses writes, or zero when not known.
	QuotaBytes int64
}
