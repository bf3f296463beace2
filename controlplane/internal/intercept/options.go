package intercept

import (
	"crypto/sha256"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// The fields of a mutating request that are options of the call, not part of what is asked.
const (
	fieldRequestID    protoreflect.Name = "request_id"
	fieldValidateOnly protoreflect.Name = "validate_only"
)

const maxIdempotencyKey = 255

// options reads the idempotency key, validateOnly and If-Match.
func (r *run) options(m proto.Message) error {
	if !r.rule.Mutates {
		return nil
	}
	fields := m.ProtoReflect()
	key, err := oneOf(fields.Get(fields.Descriptor().Fields().ByName(fieldRequestID)).String(), r.first(call.MetadataIdempotencyKey))
	if err != nil {
		return err
	}
	if !printable(key) || len(key) > maxIdempotencyKey {
		return rpcerr.InvalidField("requestId", "idempotency_key",
			"an idempotency key has 1 to %d printable ASCII characters", maxIdempotencyKey)
	}
	r.info.IdempotencyKey = key
	r.info.ValidateOnly = fields.Get(fields.Descriptor().Fields().ByName(fieldValidateOnly)).Bool()
	if given := r.first(call.MetadataValidateOnly); given != "" {
		only, err := strconv.ParseBool(given)
		if err != nil {
			return rpcerr.InvalidField("validateOnly", "bool", "%q is neither true nor false", given)
		}
		r.info.ValidateOnly = r.info.ValidateOnly || only
	}
	r.info.IfMatch = call.EntityTag(r.first(call.MetadataIfMatch))
	if key != "" {
		return r.digest(m)
	}
	return nil
}

// digest computes what repeats of the call are compared by.
func (r *run) digest(m proto.Message) error {
	asked := proto.Clone(m)
	fields := asked.ProtoReflect()
	for _, name := range []protoreflect.Name{fieldRequestID, fieldValidateOnly} {
		fields.Clear(fields.Descriptor().Fields().ByName(name))
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(asked)
	if err != nil {
		return fmt.Errorf("intercept: request: %w", err)
	}
	r.info.RequestDigest = sha256.Sum256(append(b, r.info.IfMatch...))
	return nil
}

func oneOf(field, header string) (string, error) {
	if field != "" && header != "" && field != header {
		return "", rpcerr.InvalidField("requestId", "idempotency_key", "differs from the header Idempotency-Key")
	}
	if field != "" {
		return field, nil
	}
	return header, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
