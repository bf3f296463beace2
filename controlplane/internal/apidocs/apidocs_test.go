package apidocs

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/api/openapi"
)

// reply is a response with its body.
type reply struct {
	code   int
	header http.Header
	body   string
}

func get(t *testing.T, d *Docs, path string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

func newDocs(t *testing.T, dev bool) *Docs {
	t.Helper()
	d, err := New(openapi.Document(), dev)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every file that the page names is there, and none is anywhere else.
func TestViewerNeedsNoNetwork(t *testing.T) {
	d := newDocs(t, true)
	page := get(t, d, "/docs").body
	named := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(named) < 5 {
		t.Fatalf("the page names %v", named)
	}
	for _, n := range named {
		if resp := get(t, d, n[1]); resp.code != 200 {
			t.Errorf("%s: %d", n[1], resp.code)
		}
	}
	imported := regexp.MustCompile(`(?:from |import )"(\./[^"]+)"`)
	elsewhere := regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	err := fs.WalkDir(static, "static", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := static.ReadFile(path)
		if err != nil {
			return err
		}
		for _, n := range imported.FindAllStringSubmatch(string(content), -1) {
			if resp := get(t, d, "/docs/"+strings.TrimPrefix(n[1], "./")); resp.code != 200 {
				t.Errorf("%s imports %s: %d", path, n[1], resp.code)
			}
		}
		text := strings.ReplaceAll(string(content), `xmlns="http://www.w3.org/2000/svg"`, "")
		if found := elsewhere.FindString(text); found != "" {
			t.Errorf("%s names %s", path, found)
		}
		for _, forbidden := range []string{"innerHTML", "insertAdjacentHTML", "eval(", "document.write", " style=", " onclick="} {
			if strings.Contains(text, forbidden) {
				t.Errorf("%s has %s", path, forbidden)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHeaders(t *testing.T) {
	d := newDocs(t, true)
	for _, path := range d.Paths() {
		resp := get(t, d, path)
		if path == "/" || path == "/docs/" {
			if resp.code != http.StatusFound || resp.header.Get("Location") != "/docs" {
				t.Errorf("%s: %d", path, resp.code)
			}
			continue
		}
		if resp.code != 200 || !strings.Contains(resp.header.Get("Content-Security-Policy"), "default-src 'none'") ||
			resp.header.Get("X-Content-Type-Options") != "nosniff" || resp.header.Get("ETag") == "" {
			t.Errorf("%s: %d %v", path, resp.code, resp.header)
		}
		plain := resp.body
		again := get(t, d, path, "If-None-Match", `"x", `+resp.header.Get("ETag"))
		if again.code != http.StatusNotModified || again.body != "" {
			t.Errorf("%s: again %d", path, again.code)
		}
		zipped := get(t, d, path, "Accept-Encoding", "br, gzip")
		z, err := gzip.NewReader(strings.NewReader(zipped.body))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got, err := io.ReadAll(z); err != nil || string(got) != plain || zipped.header.Get("ETag") == resp.header.Get("ETag") {
			t.Errorf("%s: compressed it is something else: %v", path, err)
		}
	}
	if resp := get(t, d, "/docs/../apidocs.go"); resp.code != 404 {
		t.Errorf("got %d", resp.code)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/docs", http.NoBody))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("got %d", w.Code)
	}
	w = httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/docs", http.NoBody))
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("got %d", w.Code)
	}
}

func TestDocument(t *testing.T) {
	for _, dev := range []bool{true, false} {
		body := get(t, newDocs(t, dev), "/openapi.json").body
		var doc struct {
			OpenAPI string `json:"openapi"`
			Paths   map[string]any
			Tags    []struct{ Name string }
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) < 50 {
			t.Errorf("dev %v: version %q, %d paths", dev, doc.OpenAPI, len(doc.Paths))
		}
		if strings.Contains(body, "/v1/dev/") != dev {
			t.Errorf("dev %v: development routes are there, or not", dev)
		}
		for _, tag := range doc.Tags {
			if tag.Name == "Dev" && !dev {
				t.Error("the tag of development routes is left")
			}
		}
	}
	if _, err := New("{", true); err == nil {
		t.Error("took a broken document")
	}
}
