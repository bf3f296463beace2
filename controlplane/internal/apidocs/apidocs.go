package apidocs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

//go:embed static
var static embed.FS

// policy lets the page load its own files, call its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const devPrefix = "/v1/dev/"

// Docs are the handlers of the description. Make one with [New].
type Docs struct {
	files map[string]*file
}

// file is a response that never changes.
type file struct {
	contentType, etag string
	plain, gzipped    []byte
}

// New prepares an OpenAPI document, in JSON, and the viewer. Without dev, what exists in a
// development server only is left out.
func New(document string, dev bool) (*Docs, error) {
	described, err := describe(document, dev)
	if err != nil {
		return nil, fmt.Errorf("apidocs: %w", err)
	}
	d := &Docs{files: map[string]*file{}}
	if err := d.add("/openapi.json", "application/json", described); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(static, "static")
	if err != nil {
		return nil, fmt.Errorf("apidocs: %w", err)
	}
	for _, e := range entries {
		content, err := static.ReadFile(path.Join("static", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("apidocs: %w", err)
		}
		at, contentType := "/docs/"+e.Name(), contentTypes[path.Ext(e.Name())]
		if e.Name() == "index.html" {
			at = "/docs"
		}
		if err := d.add(at, contentType, content); err != nil {
			return nil, err
		}
	}
	return d, nil
}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// Paths returns the paths that ServeHTTP answers, for the server's mux.
func (d *Docs) Paths() []string {
	paths := make([]string, 0, len(d.files)+2)
	for p := range d.files {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return append(paths, "/", "/docs/")
}

// ServeHTTP implements http.Handler.
func (d *Docs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is possible here", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/" || r.URL.Path == "/docs/" {
		http.Redirect(w, r, "/docs", http.StatusFound)
		return
	}
	f, ok := d.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	f.serve(w, r)
}

func (d *Docs) add(at, contentType string, content []byte) error {
	if contentType == "" {
		return fmt.Errorf("apidocs: %s has no content type", at)
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("apidocs: %w", err)
	}
	if _, err := z.Write(content); err != nil {
		return fmt.Errorf("apidocs: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("apidocs: %w", err)
	}
	sum := sha256.Sum256(content)
	d.files[at] = &file{
		contentType: contentType, etag: base64.RawURLEncoding.EncodeToString(sum[:12]),
		plain: content, gzipped: zipped.Bytes(),
	}
	return nil
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, etag := f.plain, `"`+f.etag+`"`
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body, etag = f.gzipped, `"`+f.etag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Vary", "Accept-Encoding")
	// Another version of the program serves other files under the same names.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", etag)
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// A reader that is gone needs nothing.
	_, _ = w.Write(body)
}

// describe checks that the document is JSON, and takes the development routes out.
func describe(document string, dev bool) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		return nil, fmt.Errorf("the OpenAPI document is not JSON: %w", err)
	}
	if dev {
		return []byte(document), nil
	}
	if paths, ok := doc["paths"].(map[string]any); ok {
		for p := range paths {
			if strings.HasPrefix(p, devPrefix) {
				delete(paths, p)
			}
		}
	}
	if tags, ok := doc["tags"].([]any); ok {
		doc["tags"] = slices.DeleteFunc(tags, func(tag any) bool {
			t, ok := tag.(map[string]any)
			return ok && t["name"] == "Dev"
		})
	}
	return json.Marshal(doc)
}
