package chaos

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
)

const leaderKey = ledger.LeaderKey

// replica is one `breakwaterd serve`.
type replica struct {
	*process
	w                         *world
	http, grpc, admin, report string
}

// addReplica describes a replica; the second one is told by a YAML file and variables what
// the first is told by flags.
func (w *world) addReplica(name string, edge *cluster) *replica {
	w.t.Helper()
	r := &replica{w: w, http: freeAddress(w.t), grpc: freeAddress(w.t), admin: freeAddress(w.t), report: freeAddress(w.t)}
	settings := map[string]string{
		"data-dir": filepath.Join(w.dir, name), "http": r.http, "grpc": r.grpc, "admin": r.admin, "report": r.report,
		"tls-cert-file": w.file("listener.pem"), "tls-key-file": w.file("listener.key"),
		"report-cert-file": w.file("listener.pem"), "report-key-file": w.file("listener.key"),
		"report-client-ca-file": w.ca,
		"operator-token-file":   w.file("operator.token"),
		"signing-key-file":      w.file("manifest.key"),
		"seal-key-file":         w.file("seal.keys"),
		"etcd-endpoints":        strings.Join(w.etcd.linked(name), ","),
		"etcd-ca-file":          w.ca,
		"etcd-username":         "breakwater",
		"etcd-password-file":    w.file("breakwater.password"),
		"dns-resolver":          w.dns.address,
	}
	if fleet := w.file("fleet.json"); exists(fleet) {
		settings["fleet-file"] = fleet
	}
	if edge != w.etcd {
		settings["edge-etcd-endpoints"] = strings.Join(edge.linked(name), ",")
		settings["edge-etcd-ca-file"] = w.ca
		settings["edge-etcd-username"] = "breakwater"
		settings["edge-etcd-password-file"] = w.file("breakwater.password")
	}
	args, env := []string{"serve"}, []string(nil)
	if len(w.replicas) == 0 {
		for k, v := range settings {
			args = append(args, "--"+k, v)
		}
	} else {
		env = append(env, "BREAKWATER_HTTP="+settings["http"])
		settings["http"] = "127.0.0.1:1" // the variable wins
		text, err := json.Marshal(settings)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(w.file(name+".yaml"), text, 0o600); err != nil { // JSON is YAML
			w.t.Fatal(err)
		}
		args = append(args, "--config", w.file(name+".yaml"))
	}
	r.process = newProcess(w.t, w.dir, name, "breakwaterd", env, args...)
	w.replicas = append(w.replicas, r)
	return r
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// holds says whether the leader's record is one of this replica's.
func (r *replica) holds(record []byte) bool {
	var holder struct{ ID string }
	return json.Unmarshal(record, &holder) == nil && bytes.Contains(r.read(), []byte(holder.ID))
}

// awaitReady waits until a replica takes requests. One that ends because etcd does not
// answer while it starts is started again, as a supervisor would.
func (r *replica) awaitReady() {
	r.t.Helper()
	restarts := 0
	eventually(r.t, r.name+" is ready", func(ctx context.Context) error {
		select {
		case <-r.done:
			if restarts++; restarts > 3 {
				r.t.Fatalf("%s ended: %s", r.name, r.tail(1000))
			}
			r.t.Logf("%s is started again: %s", r.name, r.tail(200))
			r.start()
		default:
		}
		answer, err := r.as("").do(ctx, http.MethodGet, "/readyz", "")
		if err == nil && answer.status != http.StatusOK {
			err = fmt.Errorf("%d %s", answer.status, answer.raw)
		}
		return err
	})
}

// client speaks to one replica with one credential.
type client struct {
	base, token string
	http        *http.Client
}

// as returns a client of the replica. Every request has a connection of its own: a frozen
// replica's would be reused.
func (r *replica) as(token string) client {
	pem, err := os.ReadFile(r.w.ca)
	if err != nil {
		r.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return client{"https://" + r.http, token, &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}}
}

type answer struct {
	status int
	raw    []byte
	body   controlplanetest.JSON
}

// do makes a request; headers are pairs.
func (c client) do(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	resp, err := c.send(ctx, method, path, body, headers...)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	out := answer{status: resp.StatusCode, raw: b}
	if bytes.HasPrefix(b, []byte("{")) {
		err = json.Unmarshal(b, &out.body)
	}
	return out, err
}

func (c client) send(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
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
	return c.http.Do(req)
}

// get is a GET that must answer 200.
func (c client) get(ctx context.Context, path string) (controlplanetest.JSON, error) {
	return c.ok(ctx, http.MethodGet, path, "")
}

func (c client) ok(ctx context.Context, method, path, body string, headers ...string) (controlplanetest.JSON, error) {
	a, err := c.do(ctx, method, path, body, headers...)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, a.status, a.raw)
	}
	return a.body, err
}

// stream reads the lines of a stream until visit returns false or it ends.
func (c client) stream(ctx context.Context, path string, visit func(controlplanetest.JSON) bool) error {
	resp, err := c.send(ctx, http.MethodGet, path, "")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var line controlplanetest.JSON
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return err
		}
		result, ok := line["result"].(map[string]any)
		if !ok {
			return fmt.Errorf("%s", lines.Bytes())
		}
		if !visit(result) {
			return nil
		}
	}
	return lines.Err()
}

// try makes a request of any replica that answers, until it succeeds.
func (w *world) try(token, method, path, body string, headers ...string) controlplanetest.JSON {
	w.t.Helper()
	var out controlplanetest.JSON
	turn := 0
	eventually(w.t, method+" "+path, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		turn++
		var err error
		out, err = w.replicas[turn%len(w.replicas)].as(token).ok(ctx, method, path, body, headers...)
		return err
	})
	return out
}
