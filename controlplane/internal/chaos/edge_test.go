package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// edgeServer is one `breakwater-edge`.
type edgeServer struct {
	*process
	dataCenter string
	serve      string
}

// addEdge describes the one server of a data center. Everything it reaches goes through the
// network.
func (w *world) addEdge(dc string, etcd *cluster) *edgeServer {
	w.t.Helper()
	name := strings.ToLower(dc) + "-1"
	var reports []string
	for _, r := range w.replicas {
		reports = append(reports, w.net.link(name, r.name, r.report))
	}
	e := &edgeServer{dataCenter: dc, serve: filepath.Join(w.dir, name, "serve", "current")}
	e.process = newProcess(w.t, w.dir, name, "breakwater-edge", nil,
		"--dc", dc, "--server", name, "--data-dir", w.file(name), "--trust", w.file("trust.pem"),
		"--etcd", strings.Join(etcd.linked(name), ","), "--etcd-ca", w.ca,
		"--etcd-username", "edge", "--etcd-password-file", w.file("edge.password"),
		"--report", strings.Join(reports, ","), "--report-ca", w.ca,
		"--report-cert", w.file(name+".pem"), "--report-key", w.file(name+".key"),
	)
	w.edges = append(w.edges, e)
	return e
}

// document reads what the server serves.
func (e *edgeServer) document(kind, id string) (controlplanetest.JSON, error) {
	b, err := os.ReadFile(filepath.Join(e.serve, kind, id+".json"))
	if err != nil {
		return nil, err
	}
	var out controlplanetest.JSON
	return out, json.Unmarshal(b, &out)
}

// contents is every file of what the server serves.
func (e *edgeServer) contents() (map[string]string, error) {
	generation, err := filepath.EvalSymlinks(e.serve)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	err = filepath.WalkDir(generation, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, generation)] = string(b)
		return err
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s serves nothing", e.name)
	}
	return out, err
}
