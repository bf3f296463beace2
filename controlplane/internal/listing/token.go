package listing

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	tokenVersion = 1
	bindingSize  = 16
	checkSize    = 8
	// A key is a resource's name or store key, and a sort key is bounded by maxSortKey, so
	// that a genuine token is far shorter.
	maxToken = 16 << 10
)

var (
	errNegativePageSize = errors.New("must not be negative")
	errToken            = errors.New("is not a token of this API: use nextPageToken as it was returned")
	errOtherQuery       = errors.New("belongs to another query: keep the other parameters, or begin without a token")
)

// cursor is the place after which a page begins. The zero cursor is the beginning.
type cursor struct {
	set  bool
	sort string
	key  string
}

// bind digests what a token belongs to: all of the request but its page size and token.
func bind(req protoreflect.Message, scope string) [bindingSize]byte {
	rest := proto.Clone(req.Interface()).ProtoReflect()
	for _, name := range []protoreflect.Name{"page_size", "page_token"} {
		if fd := rest.Descriptor().Fields().ByName(name); fd != nil {
			rest.Clear(fd)
		}
	}
	h := sha256.New()
	writePart(h, string(req.Descriptor().FullName()))
	writePart(h, scope)
	// A request that was received can be marshalled again. Were it not so, the digest would
	// only be coarser.
	if b, err := (proto.MarshalOptions{Deterministic: true}).Marshal(rest.Interface()); err == nil {
		writePart(h, string(b))
	}
	return [bindingSize]byte(h.Sum(nil)[:bindingSize])
}

func writePart(w interface{ Write([]byte) (int, error) }, part string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(part)))
	_, _ = w.Write(size[:])
	_, _ = w.Write([]byte(part))
}

// encodeToken lays a token out as version, binding, length of the sort key, sort key, key
// and a checksum over all that, in base64url.
func encodeToken(c cursor, binding [bindingSize]byte) string {
	b := append([]byte{tokenVersion}, binding[:]...)
	b = binary.AppendUvarint(b, uint64(len(c.sort)))
	b = append(b, c.sort...)
	b = append(b, c.key...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:checkSize]...))
}

func decodeToken(token string, binding [bindingSize]byte) (cursor, error) {
	if len(token) > maxToken {
		return cursor{}, errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 1+bindingSize+1+checkSize || b[0] != tokenVersion {
		return cursor{}, errToken
	}
	body, check := b[:len(b)-checkSize], b[len(b)-checkSize:]
	sum := sha256.Sum256(body)
	if subtle.ConstantTimeCompare(sum[:checkSize], check) != 1 {
		return cursor{}, errToken
	}
	if [bindingSize]byte(body[1:1+bindingSize]) != binding {
		return cursor{}, errOtherQuery
	}
	rest := body[1+bindingSize:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return cursor{}, errToken
	}
	rest = rest[n:]
	return cursor{set: true, sort: string(rest[:size]), key: string(rest[size:])}, nil
}
