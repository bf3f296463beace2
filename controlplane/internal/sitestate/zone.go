package sitestate

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// chunkBytes is the size from which a zone is kept in chunks, and that of a chunk.
const chunkBytes = 512 << 10

// Zone is the records of a site as they are stored.
type Zone struct {
	// Generation grows with every change; zero for a zone that was never stored.
	Generation int64
	// Records are in the order in which they were made.
	Records []*breakwaterv1.DnsRecord

	chunks int32
}

// Get reads the value of a key into a message, or fails with [registry.ErrNotFound].
type Get func(key string, m proto.Message) error

// FromView reads from a consistent view.
func FromView(view interface {
	Get(key string) (registry.KV, bool)
},
) Get {
	return func(key string, m proto.Message) error {
		kv, ok := view.Get(key)
		if !ok {
			return registry.ErrNotFound
		}
		return proto.Unmarshal(kv.Value, m)
	}
}

// LoadZone reads a zone, from its chunks where it has them. A zone that was never stored is
// empty.
func LoadZone(get Get, tenant resource.Tenant, domain string) (*Zone, error) {
	rec := &storev1.ZoneRecord{}
	if err := get(tenant.Zone(domain), rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return &Zone{}, nil
		}
		return nil, err
	}
	z := &Zone{Generation: rec.GetGeneration(), Records: rec.GetRecords(), chunks: rec.GetChunks()}
	for i := range int(rec.GetChunks()) {
		chunk := &storev1.ZoneChunk{}
		if err := get(tenant.ZoneChunk(domain, rec.GetGeneration(), i), chunk); err != nil {
			return nil, fmt.Errorf("sitestate: chunk %d of the zone of %s: %w", i, domain, err)
		}
		z.Records = append(z.Records, chunk.GetRecords()...)
	}
	return z, nil
}

// Puts is where a zone is written to.
type Puts interface {
	Put(key string, m proto.Message) error
	Delete(key string)
}

// Store writes a zone with other records, as the next generation: in one value, or in chunks
// behind it. The chunks of the generation before are deleted.
func (z *Zone) Store(to Puts, tenant resource.Tenant, domain string, records []*breakwaterv1.DnsRecord) error {
	z.Drop(to, tenant, domain)
	z.Generation++
	z.Records, z.chunks = records, 0
	rec := &storev1.ZoneRecord{Generation: z.Generation, Count: int32(len(records))}
	chunks := split(records)
	if len(chunks) == 1 {
		rec.Records = chunks[0].GetRecords()
		return to.Put(tenant.Zone(domain), rec)
	}
	for i, chunk := range chunks {
		if err := to.Put(tenant.ZoneChunk(domain, z.Generation, i), chunk); err != nil {
			return err
		}
	}
	z.chunks = int32(len(chunks))
	rec.Chunks = z.chunks
	return to.Put(tenant.Zone(domain), rec)
}

// Drop deletes the zone's chunks. Without a Store after it, the caller deletes the zone.
func (z *Zone) Drop(to Puts, tenant resource.Tenant, domain string) {
	for i := range int(z.chunks) {
		to.Delete(tenant.ZoneChunk(domain, z.Generation, i))
	}
}

// split cuts records into chunks; one that is small enough when all fit.
func split(records []*breakwaterv1.DnsRecord) []*storev1.ZoneChunk {
	chunks := []*storev1.ZoneChunk{{}}
	size := 0
	for _, r := range records {
		const overhead = 4 // tag and length
		n := proto.Size(r) + overhead
		if size > 0 && size+n > chunkBytes {
			chunks = append(chunks, &storev1.ZoneChunk{})
			size = 0
		}
		last := chunks[len(chunks)-1]
		last.Records = append(last.Records, r)
		size += n
	}
	return chunks
}
