package controlplanetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// REST is a client of the REST API with one credential.
type REST struct {
	t     testing.TB
	base  string
	token string
}

// REST returns a client with a token; empty for none.
func (cp *ControlPlane) REST(token string) *REST {
	return &REST{t: cp.t, base: "http://" + cp.Server.HTTPAddr(), token: token}
}

// JSON is a decoded JSON object.
type JSON map[string]any

// At returns the value at a path of keys with dots; nil where there is none.
func (j JSON) At(path string) any {
	var v any = map[string]any(j)
	for _, key := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// Text is At as text.
func (j JSON) Text(path string) string {
	if v := j.At(path); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// Response is what the server answered.
type Response struct {
	Status int
	Header http.Header
	Body   JSON
}

// Reason is the ErrorInfo's reason of an error.
func (r Response) Reason() string {
	details, _ := r.Body.At("details").([]any)
	for _, d := range details {
		if m, ok := d.(map[string]any); ok && m["reason"] != nil {
			return fmt.Sprint(m["reason"])
		}
	}
	return ""
}

// Do makes a request; body may be empty, headers are pairs.
func (c *REST) Do(method, path, body string, headers ...string) Response {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp := c.send(ctx, method, path, body, headers)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	out := Response{Status: resp.StatusCode, Header: resp.Header}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out.Body); err != nil {
			c.t.Fatalf("%s %s: answer %q is no JSON object: %v", method, path, b, err)
		}
	}
	return out
}

func (c *REST) send(ctx context.Context, method, path, body string, headers []string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// OK is Do for a request that must succeed.
func (c *REST) OK(method, path, body string, headers ...string) JSON {
	c.t.Helper()
	r := c.Do(method, path, body, headers...)
	if r.Status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %v", method, path, r.Status, r.Body)
	}
	return r.Body
}

// Stream reads the lines of a stream until it ends, or until visit returns false.
func (c *REST) Stream(path string, visit func(result JSON) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp := c.send(ctx, http.MethodGet, path, "", nil)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var line JSON
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			c.t.Fatalf("GET %s: line %q: %v", path, lines.Text(), err)
		}
		result, ok := line["result"].(map[string]any)
		if !ok {
			c.t.Fatalf("GET %s: %v", path, line)
		}
		if !visit(result) {
			return
		}
	}
	if err := lines.Err(); err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
}
