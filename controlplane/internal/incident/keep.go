package incident

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// View is a consistent state of the keys below control/.
type View interface {
	Revision() int64
	Get(key string) (registry.KV, bool)
	Ascend(prefix string, visit func(registry.KV) bool)
}

// ID makes an ID that orders by time, to the second; what tells incidents of one second
// apart.
func ID(now time.Time, what string) string {
	return now.UTC().Format("20060102-150405") + "-" + what
}

// Key is the key of an incident by its name, `incidents/{id}`; false where it is no name.
func Key(name string) (string, bool) {
	id, ok := strings.CutPrefix(name, "incidents/")
	return ledger.IncidentKey(id), ok && id != "" && !strings.ContainsAny(id, "/:")
}

// Kept returns the kept incidents of a view, oldest first.
func Kept(v View) ([]*storev1.IncidentRecord, error) {
	var out []*storev1.IncidentRecord
	var failed error
	v.Ascend(ledger.IncidentsPrefix, func(kv registry.KV) bool {
		rec := &storev1.IncidentRecord{}
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			failed = fmt.Errorf("incident: record %s: %w", kv.Key, err)
			return false
		}
		out = append(out, rec)
		return true
	})
	return out, failed
}
