package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/connect"
	"github.com/breakwater-cdn/breakwater/sdk/edge/directory"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// options are what the command line sets.
type options struct {
	dataCenter, server, dataDir string
	trust                       []string
	etcd                        connect.EtcdConfig
	reports                     connect.ReportsConfig
	logLevel, logFormat         string
}

func (o *options) check() error {
	var errs []error
	var missing []string
	for _, needed := range []struct {
		flag    string
		missing bool
	}{
		{"dc", o.dataCenter == ""},
		{"server", o.server == ""},
		{"data-dir", o.dataDir == ""},
		{"trust", len(o.trust) == 0},
		{"etcd", len(o.etcd.Endpoints) == 0},
	} {
		if needed.missing {
			missing = append(missing, "--"+needed.flag)
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("%s must be given", strings.Join(missing, ", ")))
	}
	if len(o.reports.Addresses) > 0 && (o.reports.TLS.Cert == "" || o.reports.TLS.Key == "") {
		errs = append(errs, errors.New("--report-cert and --report-key must be given with --report: servers report over mutual TLS"))
	}
	return errors.Join(errs...)
}

func (o *options) run(ctx context.Context) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	logger, err := o.logger()
	if err != nil {
		return err
	}
	trust, err := readTrust(o.trust)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dataDir, 0o750); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	plane, err := directory.New(filepath.Join(o.dataDir, "serve"))
	if err != nil {
		return err
	}
	etcd, err := connect.OpenEtcd(o.etcd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	cfg := edge.Config{
		DataCenter: strings.ToUpper(o.dataCenter), Server: o.server, Trust: trust,
		Etcd: etcd, Applier: plane, StorePath: filepath.Join(o.dataDir, "agent.db"),
		Boot: boot(), Version: version(), Logger: logger,
	}
	if len(o.reports.Addresses) > 0 {
		reports, err := connect.OpenReports(o.reports)
		if err != nil {
			return err
		}
		defer func() { _ = reports.Close() }()
		cfg.Report = reports
	}
	agent, err := edge.New(cfg)
	if err != nil {
		return err
	}
	return agent.Run(ctx)
}

func (o *options) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is not debug, info, warn or error", o.logLevel)
	}
	settings := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, settings)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, settings)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is not text or json", o.logFormat)
}

// readTrust reads public keys; a file may hold several.
func readTrust(files []string) (wire.Trust, error) {
	var keys []ed25519.PublicKey
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--trust: %w", err)
		}
		found, err := wire.ParsePublicKeys(b)
		if err != nil {
			return nil, fmt.Errorf("--trust: %s: %w", file, err)
		}
		keys = append(keys, found...)
	}
	return wire.NewTrust(keys...), nil
}

// boot tells starts of the machine apart, where the system says so.
func boot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
