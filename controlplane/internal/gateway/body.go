package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// body is a checked body: the JSON for the generated code, and the fields that it has.
type body struct {
	json []byte
	// present are the JSON paths of the plain values that the body sets, also to null or to
	// their zero values.
	present    []string
	violations []rpcerr.Violation
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, rpcerr.InvalidField("Content-Encoding", "header", "must be left out: encoded bodies are not read")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, rpcerr.InvalidField("body", "max_bytes", "is larger than %d bytes", limit)
	case err != nil:
		return nil, rpcerr.InvalidField("body", "read", "could not be read to its end").WithCause(err)
	}
	return raw, nil
}

// checkBody checks the JSON of a body against the message that it fills. The error is for
// what is no JSON at all; bad fields are violations.
func (rt *route) checkBody(raw []byte, vars map[string]string, maxDepth int) (body, error) {
	if isBlank(raw) {
		return body{}, nil
	}
	md := rt.input
	if rt.body != nil {
		md = rt.body.Message()
	}
	if !rt.hasBody() {
		// An empty object is what some clients send for nothing.
		md = emptyDescriptor
	}
	c := newChecker(raw, maxDepth)
	for field := range vars {
		if path, ok := rt.inBody(field); ok {
			c.captured[path] = ""
		}
	}
	present, err := c.check(md)
	if err != nil {
		return body{}, err
	}
	b := body{json: c.edited(), present: present, violations: c.violations}
	if !rt.hasBody() {
		b.json = nil
	}
	for field, value := range vars {
		path, ok := rt.inBody(field)
		if ok && c.captured[path] != "" && !sameName(c.captured[path], value) {
			b.violations = append(b.violations, rpcerr.Violation{
				Field: path, Rule: "path", Message: "contradicts the path of the request, which says " + shorten(value),
			})
		}
	}
	return b, nil
}

// inBody returns the JSON path, within the body, of a field that the path fills too.
func (rt *route) inBody(field string) (string, bool) {
	if rt.body != nil {
		below, ok := strings.CutPrefix(field, string(rt.body.Name())+".")
		return rpcerr.JSONPath(below), ok
	}
	return rpcerr.JSONPath(field), rt.bodyAll
}

// sameName says whether two resource names mean the same: a domain has many spellings.
func sameName(a, b string) bool {
	if a == b {
		return true
	}
	na, errA := resource.ParseName(a)
	nb, errB := resource.ParseName(b)
	return errA == nil && errB == nil && na == nb
}

func isBlank(raw []byte) bool { return len(bytes.TrimLeft(raw, " \t\r\n")) == 0 }
