package resource

import (
	"crypto/sha256"
	"encoding/base64"

	"google.golang.org/protobuf/proto"
)

// Etag returns the entity tag of a resource: a digest of the parts that the caller passes,
// which should be the resource without what is computed when it is read. Two states of a
// resource have the same etag only when those parts are equal.
func Etag(parts ...proto.Message) string {
	h := sha256.New()
	for _, p := range parts {
		// Deterministic output is stable within one build of the server, which is all
		// that an etag needs: after an upgrade a client reads again.
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
		if err != nil {
			// Only a message with invalid UTF-8 or a missing required field can't be
			// marshalled, and neither can be stored.
			continue
		}
		h.Write(b)
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}
