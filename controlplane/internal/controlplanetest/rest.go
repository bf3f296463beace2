package controlplanetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// REST is a client of the REST API with one credential.
type REST struct {
	t      testing.TB
	client *http.Client
	base   string
	token  string
}

// newHTTPClient returns a client that follows no redirect, since the API answers none.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// REST returns a client with a token; empty for none. It is good until the next Stop.
func (cp *ControlPlane) REST(token string) *REST {
	return &REST{t: cp.t, client: cp.http, base: cp.base, token: token}
}

// For returns the same client for a subtest, which then fails in its own name.
func (c *REST) For(t testing.TB) *REST {
	t.Helper()
	sub := *c
	sub.t = t
	return &sub
}

// Token is the client's credential.
func (c *REST) Token() string { return c.token }

// Response is what the server answered.
type Response struct {
	Status int
	Header http.Header
	// Body is the answer where it is a JSON object; Raw is what came.
	Body JSON
	Raw  []byte
}

// Reason is the ErrorInfo's reason of an error.
func (r Response) Reason() string { return r.Detail("ErrorInfo").Text("reason") }

// Detail is the detail of a type such as `BadRequest`; nil where there is none.
func (r Response) Detail(kind string) JSON {
	for _, d := range r.Body.Objects("details") {
		if strings.HasSuffix(d.Text("@type"), "."+kind) {
			return d
		}
	}
	return nil
}

// Try makes a request as Do does, and returns what prevents an answer.
func (c *REST) Try(ctx context.Context, method, path, body string, headers ...string) (Response, error) {
	resp, err := c.send(ctx, method, path, body, headers)
	if err != nil {
		return Response{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return response(resp, b, err)
}

// TryStream is Try for a stream, of which it reads the first line.
func (c *REST) TryStream(ctx context.Context, path string) (Response, error) {
	resp, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return Response{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := bufio.NewReader(resp.Body).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return response(resp, b, err)
}

func response(resp *http.Response, b []byte, err error) (Response, error) {
	method, path := resp.Request.Method, resp.Request.URL.Path
	if err != nil {
		return Response{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	out := Response{Status: resp.StatusCode, Header: resp.Header, Raw: b}
	if bytes.HasPrefix(b, []byte("{")) {
		if err := json.Unmarshal(b, &out.Body); err != nil {
			return Response{}, fmt.Errorf("%s %s: answer %q is no JSON: %w", method, path, b, err)
		}
	}
	return out, nil
}

// Do makes a request; body may be empty, headers are pairs.
func (c *REST) Do(method, path, body string, headers ...string) Response {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := c.Try(ctx, method, path, body, headers...)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *REST) send(ctx context.Context, method, path, body string, headers []string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return c.client.Do(req)
}

// OK is Do for a request that must succeed.
func (c *REST) OK(method, path, body string, headers ...string) JSON {
	c.t.Helper()
	r := c.Do(method, path, body, headers...)
	if r.Status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Raw)
	}
	return r.Body
}

// Get is OK for a GET. It asks again while the server says that it can't answer now, as a
// machine that is too busy makes it do.
func (c *REST) Get(path string) JSON {
	c.t.Helper()
	deadline := time.Now().Add(busy)
	again := time.NewTicker(10 * poll)
	defer again.Stop()
	for ; ; <-again.C {
		r := c.Do(http.MethodGet, path, "")
		if r.Status == http.StatusOK {
			return r.Body
		}
		if r.Status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			c.t.Fatalf("GET %s: %d %s", path, r.Status, r.Raw)
		}
	}
}

// busy is how long a machine may be too busy to answer.
const busy = time.Minute

// Stream reads the lines of a stream until it ends, or until visit returns false.
func (c *REST) Stream(path string, visit func(result JSON) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		c.t.Fatal(err)
	}
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
