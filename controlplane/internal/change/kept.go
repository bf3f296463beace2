package change

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Answers are kept for a day. Leases are shared by all answers of one bucket of time, so
// that the store holds few of them: an answer is kept between keepFor and keepFor+bucket.
const (
	keepFor = 24 * time.Hour
	bucket  = 30 * time.Minute
)

// keeper keeps the answers of calls that had an idempotency key, and knows which of them
// are in flight here. Two replicas that run the same key at once are told apart by the
// compare on the kept answer's key.
type keeper struct {
	store registry.Store
	cfg   Config

	mu       sync.Mutex
	inFlight map[string]struct{}
	lease    registry.LeaseID
	leaseEnd time.Time
}

func newKeeper(store registry.Store, cfg Config) *keeper {
	return &keeper{store: store, cfg: cfg, inFlight: map[string]struct{}{}}
}

// keptKey scopes a client's key to principal and method.
func keptKey(info call.Info) string {
	sum := sha256.Sum256([]byte(info.Principal.ID + "\x00" + info.FullMethod + "\x00" + info.IdempotencyKey))
	return resource.Idempotency(hex.EncodeToString(sum[:]))
}

// begin answers from a kept answer (done), or marks the key as in flight until release.
func (k *keeper) begin(ctx context.Context, info call.Info, answer proto.Message) (done bool, release func(), err error) {
	key := keptKey(info)
	k.mu.Lock()
	_, busy := k.inFlight[key]
	if !busy {
		k.inFlight[key] = struct{}{}
	}
	k.mu.Unlock()
	if busy {
		return false, nil, errInProgress
	}
	release = func() {
		k.mu.Lock()
		delete(k.inFlight, key)
		k.mu.Unlock()
	}
	kv, err := k.store.Get(ctx, key)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return false, release, nil
	case err != nil:
		release()
		return false, nil, err
	}
	defer release()
	return true, nil, k.replay(kv, info, answer)
}

var errInProgress = rpcerr.Failed(codes.Aborted, rpcerr.ReasonIdempotencyInProgress,
	"the first call with this idempotency key is still running: try again")

// conflict looks whether a failed compare was lost to another replica's run of the same
// idempotency key; then its answer is ours.
func (k *keeper) conflict(_ context.Context, info call.Info, c *registry.ConflictError, answer proto.Message) (proto.Message, error) {
	if info.IdempotencyKey == "" {
		return nil, nil
	}
	kv, ok := c.Current[keptKey(info)]
	if !ok {
		return nil, nil
	}
	if err := k.replay(kv, info, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

func (k *keeper) replay(kv registry.KV, info call.Info, answer proto.Message) error {
	var rec storev1.IdempotencyRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return fmt.Errorf("change: kept answer: %w", err)
	}
	if string(rec.GetRequestSha256()) != string(info.RequestDigest[:]) {
		return rpcerr.Failed(codes.InvalidArgument, rpcerr.ReasonIdempotencyKeyReused,
			"this idempotency key was used with another request")
	}
	b := rec.GetResponse()
	if rec.GetSealed() {
		if len(b) == 0 {
			return rpcerr.Precondition(rpcerr.ReasonInvalidState, rec.GetErasedWith(),
				"the answer held a secret that was rolled or revoked since")
		}
		var err error
		if b, err = k.cfg.Sealer.Open(b, []byte(kv.Key)); err != nil {
			return fmt.Errorf("change: kept answer: %w", err)
		}
	}
	return proto.Unmarshal(b, answer)
}

// put adds the answer to the change.
func (k *keeper) put(ctx context.Context, tx *Tx, info call.Info, answer proto.Message) error {
	key := keptKey(info)
	b, err := proto.Marshal(answer)
	if err != nil {
		return fmt.Errorf("change: answer to keep: %w", err)
	}
	rec := &storev1.IdempotencyRecord{
		RequestSha256: info.RequestDigest[:],
		ResponseType:  string(answer.ProtoReflect().Descriptor().FullName()),
		Response:      b,
		ErasedWith:    tx.erasedWith,
	}
	if tx.erasedWith != "" {
		if rec.Response, err = k.cfg.Sealer.Seal(b, []byte(key)); err != nil {
			return fmt.Errorf("change: answer to keep: %w", err)
		}
		rec.Sealed = true
	}
	lease, err := k.bucketLease(ctx)
	if err != nil {
		return err
	}
	value, err := proto.Marshal(rec)
	if err != nil {
		return fmt.Errorf("change: answer to keep: %w", err)
	}
	tx.read[key] = 0
	tx.op(registry.PutLeased(key, value, lease))
	if tx.erasedWith != "" {
		tx.op(registry.PutLeased(resource.IdempotencyOf(tx.erasedWith, key), nil, lease))
	}
	return nil
}

func (k *keeper) bucketLease(ctx context.Context) (registry.LeaseID, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.cfg.Clock.Now()
	if k.lease != 0 && now.Before(k.leaseEnd) {
		return k.lease, nil
	}
	id, err := k.store.Grant(ctx, keepFor+bucket)
	if err != nil {
		return 0, err
	}
	k.lease, k.leaseEnd = id, now.Add(bucket)
	return id, nil
}

// EraseAnswers removes the kept answers that hold a secret of the named resource, as part
// of the change that rolls or revokes it. A repeat of their calls then fails clearly.
func (tx *Tx) EraseAnswers(resourceName string) error {
	page, err := tx.writer.store.List(tx.ctx, registry.ListRequest{Prefix: resource.IdempotencyOf(resourceName, ""), Limit: 1000})
	if err != nil {
		return err
	}
	for _, ref := range page.KVs {
		key := resource.IdempotencyFromRef(ref.Key)
		kv, err := tx.writer.store.Get(tx.ctx, key)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var rec storev1.IdempotencyRecord
		if err := proto.Unmarshal(kv.Value, &rec); err != nil {
			return fmt.Errorf("change: kept answer: %w", err)
		}
		rec.Response = nil
		value, err := proto.Marshal(&rec)
		if err != nil {
			return fmt.Errorf("change: kept answer: %w", err)
		}
		tx.read[key] = kv.ModRevision
		tx.op(registry.PutLeased(key, value, kv.Lease))
		tx.op(registry.Delete(ref.Key))
	}
	return nil
}
