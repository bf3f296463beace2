package feed

import (
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// overhead is what an entry costs beside its bytes.
const overhead = 128

// staging holds content that no target named yet, up to a quota. The oldest goes first.
type staging struct {
	quota     int64
	used      int64
	blobs     map[wire.Sum][]byte
	manifests map[release][]byte
	order     []staged
}

type release struct {
	channel wire.Channel
	number  int64
}

// staged names an entry: a manifest where the number is not zero, else a document.
type staged struct {
	release release
	sum     wire.Sum
}

func newStaging(quota int64) *staging {
	return &staging{quota: quota, blobs: map[wire.Sum][]byte{}, manifests: map[release][]byte{}}
}

func (s *staging) putBlob(sum wire.Sum, body []byte) {
	if _, ok := s.blobs[sum]; ok || int64(len(body))+overhead > s.quota {
		return
	}
	s.blobs[sum] = body
	s.added(staged{sum: sum}, len(body))
}

func (s *staging) putManifest(r release, raw []byte) {
	s.drop(staged{release: r})
	if int64(len(raw))+overhead > s.quota {
		return
	}
	s.manifests[r] = raw
	s.added(staged{release: r}, len(raw))
}

func (s *staging) added(e staged, size int) {
	s.used += int64(size) + overhead
	s.order = append(s.order, e)
	for s.used > s.quota && len(s.order) > 0 {
		s.drop(s.order[0])
		s.order = s.order[1:]
	}
	if len(s.order) > 64 && len(s.order) > 2*(len(s.blobs)+len(s.manifests)) {
		s.compact()
	}
}

// compact forgets the places of what was dropped.
func (s *staging) compact() {
	kept := make([]staged, 0, len(s.blobs)+len(s.manifests))
	seen := make(map[staged]bool, cap(kept))
	for _, e := range s.order {
		_, isBlob := s.blobs[e.sum]
		_, isManifest := s.manifests[e.release]
		if (isBlob || isManifest) && !seen[e] {
			seen[e] = true
			kept = append(kept, e)
		}
	}
	s.order = kept
}

func (s *staging) drop(e staged) {
	if e.release.number != 0 {
		if raw, ok := s.manifests[e.release]; ok {
			s.used -= int64(len(raw)) + overhead
			delete(s.manifests, e.release)
		}
		return
	}
	if body, ok := s.blobs[e.sum]; ok {
		s.used -= int64(len(body)) + overhead
		delete(s.blobs, e.sum)
	}
}
