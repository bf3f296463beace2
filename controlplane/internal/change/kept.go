package change

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

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

// keptKey scopes a client's key to principal and method. A program that acts for a member
// is another principal for each of them.
func keptKey(info call.Info) string {
	h := sha256.New()
	for _, part := range []string{info.Principal.ID, info.Principal.OnBehalfOf, info.FullMethod, info.IdempotencyKey} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return resource.Idempotency(hex.EncodeToString(h.Sum(nil)))
}

// claim marks the key as in flight here until release.
func (k *keeper) claim(info call.Info) (release func(), err error) {
	key := keptKey(info)
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, busy := k.inFlight[key]; busy {
		return nil, rpcerr.Aborted(rpcerr.ReasonIdempotencyInProgress,
			"the first call with this idempotency key is still running: try again")
	}
	k.inFlight[key] = struct{}{}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.inFlight, key)
	}, nil
}

// find looks for the answer of an earlier run of the call's key and reads it into answer.
// With found, the error says that the answer can't be given again. Where the store can't be
// asked nothing is found, and the caller's own error stands.
func (k *keeper) find(ctx context.Context, info call.Info, answer proto.Message) (found bool, err error) {
	kv, err := k.store.Get(ctx, keptKey(info))
	if err != nil {
		return false, nil //nolint:nilerr // See above.
	}
	return true, k.replay(kv, info, answer)
}

func (k *keeper) replay(kv registry.KV, info call.Info, answer proto.Message) error {
	var rec storev1.IdempotencyRecord
	if err := proto.Unmarshal(kv.Value, &rec); err != nil {
		return fmt.Errorf("change: kept answer: %w", err)
	}
	if string(rec.GetRequestSha256()) != string(info.RequestDigest[:]) {
		return rpcerr.Malformed(rpcerr.ReasonIdempotencyKeyReused, "this idempotency key was used with another request")
	}
	if want := string(answer.ProtoReflect().Descriptor().FullName()); rec.GetResponseType() != want {
		return fmt.Errorf("change: kept answer is a %s, not a %s", rec.GetResponseType(), want)
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

// PutKept stores m under key for as long as answers are kept, which is a day or a little
// longer, as for what must not be done twice when it is repeated.
func (tx *Tx) PutKept(key string, m proto.Message) error {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("change: value for %s: %w", key, err)
	}
	lease, err := tx.writer.kept.bucketLease(tx.ctx)
	if err != nil {
		return err
	}
	tx.op(registry.PutLeased(key, value, lease))
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

// forgetLease makes the next answer take a new lease.
func (k *keeper) forgetLease() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lease = 0
}

// EraseAnswers removes the kept answers that hold a secret of the named resource, as part
// of the change that rolls or revokes it. A repeat of their calls then fails clearly. The
// change must read and write the resource itself, so that no answer appears meanwhile.
func (tx *Tx) EraseAnswers(resourceName string) error {
	req := registry.ListRequest{Prefix: resource.IdempotencyOf(resourceName, "")}
	for {
		page, err := tx.writer.store.List(tx.ctx, req)
		if err != nil {
			return err
		}
		for _, ref := range page.KVs {
			if err := tx.eraseAnswer(ref.Key); err != nil {
				return err
			}
			req.After = ref.Key
		}
		if !page.More {
			return nil
		}
	}
}

func (tx *Tx) eraseAnswer(ref string) error {
	key := resource.IdempotencyFromRef(ref)
	kv, err := tx.writer.store.Get(tx.ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return nil
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
	tx.op(registry.Delete(ref))
	return nil
}
