package chaos

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestServeRefuses starts `serve` with settings that are wrong. Each is refused with what
// has to be done, and nothing is left running.
func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	must(t, dir, "breakwaterd", "server-cert", "--ca-dir", ca, "--host", "127.0.0.1", "--name", "listener", "--out", dir)
	cert, key, authority := filepath.Join(dir, "listener.pem"), filepath.Join(dir, "listener.key"), filepath.Join(ca, "ca.pem")
	config := filepath.Join(dir, "wrong.yaml")
	if err := os.WriteFile(config, []byte("http: 127.0.0.1:0\nhtpp: 127.0.0.1:0\nlog-level: loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })

	small := freeAddress(t)
	etcd := newProcess(t, dir, "small", "etcd", nil, "--name", "small", "--data-dir", filepath.Join(dir, "small"),
		"--listen-client-urls", "http://"+small, "--advertise-client-urls", "http://"+small,
		"--listen-peer-urls", "http://"+freeAddress(t), "--enable-grpc-gateway=false", "--unsafe-no-fsync", "--log-level=error")
	etcd.start()

	listeners := []string{
		"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--report", "127.0.0.1:0",
		"--report-cert-file", cert, "--report-key-file", key, "--report-client-ca-file", authority, "--dns-resolver", "127.0.0.1:53",
	}
	for name, c := range map[string]struct {
		env, args []string
		want      []string
	}{
		"no certificate":     {args: []string{"--http", "127.0.0.1:0"}, want: []string{"report-cert-file", "must be given"}},
		"unknown flag":       {args: []string{"--htpp", "x"}, want: []string{"unknown flag: --htpp"}},
		"unknown line":       {args: append([]string{"--config", config}, listeners...), want: []string{`there is no setting "htpp"`}},
		"no such file":       {args: append([]string{"--config", config + ".not"}, listeners...), want: []string{"config file", "no such file"}},
		"wrong variable":     {env: []string{"BREAKWATER_LOG_LEVEL=loud"}, args: listeners, want: []string{"log-level", `"loud" is not debug, info, warn or error`}},
		"half a certificate": {args: append([]string{"--tls-cert-file", cert}, listeners...), want: []string{"goes with tls-key-file"}},
		"not a certificate":  {args: append([]string{"--tls-cert-file", key, "--tls-key-file", key}, listeners...), want: []string{"tls-cert-file"}},
		"taken address":      {args: append(slices.Clone(listeners), "--admin", taken.Addr().String()), want: []string{"admin: ", "address already in use"}},
		"everything at once": {
			args: []string{"--http", "nowhere", "--name-servers", "a,b", "--oidc-issuer", "https://x.example"},
			want: []string{`http: "nowhere" is not host:port`, "name-servers: needs at least four", "goes with oidc-client-id", "report-cert-file"},
		},
		"etcd away":  {args: append([]string{"--etcd-endpoints", "http://127.0.0.1:1"}, listeners...), want: []string{"etcd-endpoints: ", "does not answer"}},
		"small etcd": {args: append([]string{"--etcd-endpoints", "http://" + small}, listeners...), want: []string{"set --max-txn-ops=8192", "set --max-request-bytes=13631488"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"serve", "--data-dir", filepath.Join(t.TempDir(), "data"), "--log-level", "error"}, c.args...)
			if c.env != nil {
				args = append(args[:3:3], c.args...)
			}
			out, code := command(t, dir, "breakwaterd", c.env, args...)
			if code != 1 {
				t.Errorf("exit %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in:\n%s", want, out)
				}
			}
			if strings.Contains(out, "goroutine") {
				t.Errorf("it crashed:\n%s", out)
			}
		})
	}
}

// TestDocumentedLimits keeps the documentation's etcd flags what [TestServe] runs with.
func TestDocumentedLimits(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range etcdLimits {
		if !strings.Contains(string(doc), flag) {
			t.Errorf("docs/operate.md does not say %s", flag)
		}
	}
}
