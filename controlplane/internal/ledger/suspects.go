package ledger

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// SuspectsPrefix is the prefix of a channel's chunks of suspects.
func SuspectsPrefix(c wire.Channel) string { return channel(c, "suspects/") }

// SuspectsKey is the key of a SuspectChunk.
func SuspectsKey(c wire.Channel, chunk int64) string {
	return SuspectsPrefix(c) + fmt.Sprintf("%016x", chunk)
}

// Suspects returns the suspects of a rollout in their order, wherever they are kept: in the
// record itself, or in the chunks that its runs name, which are there in every view that has
// the record.
func Suspects(get func(key string) (registry.KV, bool), c wire.Channel, rec *storev1.RolloutRecord) ([]*storev1.Suspect, error) {
	if len(rec.GetSuspectRuns()) == 0 {
		return rec.GetSuspects(), nil
	}
	chunks := map[int64][]*storev1.Suspect{0: rec.GetSuspects()}
	var out []*storev1.Suspect
	for _, run := range rec.GetSuspectRuns() {
		list, ok := chunks[run.GetChunk()]
		if !ok {
			key := SuspectsKey(c, run.GetChunk())
			kv, found := get(key)
			if !found {
				return nil, fmt.Errorf("ledger: record %s is missing", key)
			}
			chunk := &storev1.SuspectChunk{}
			if err := proto.Unmarshal(kv.Value, chunk); err != nil {
				return nil, fmt.Errorf("ledger: record %s: %w", key, err)
			}
			list = chunk.GetSuspects()
			chunks[run.GetChunk()] = list
		}
		first, size := int(run.GetFirst()), int(run.GetSize())
		if first < 0 || size < 0 || first+size > len(list) {
			return nil, fmt.Errorf("ledger: suspects %d to %d of chunk %d, which has %d", first, first+size, run.GetChunk(), len(list))
		}
		out = append(out, list[first:first+size]...)
	}
	return out, nil
}

// SuspectCount is how many suspects a rollout has.
func SuspectCount(rec *storev1.RolloutRecord) int {
	if len(rec.GetSuspectRuns()) == 0 {
		return len(rec.GetSuspects())
	}
	n := 0
	for _, run := range rec.GetSuspectRuns() {
		n += int(run.GetSize())
	}
	return n
}
