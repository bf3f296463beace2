package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// SiteHistory reads what is not in the cache. A [registry.Store] is one.
type SiteHistory interface {
	Get(ctx context.Context, key string) (registry.KV, error)
	List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error)
}

// VersionsConfig is what the service of versions needs.
type VersionsConfig struct {
	SiteBase
	Apps    *AppOffer
	History SiteHistory
}

// Versions implements VersionService.
type Versions struct {
	breakwaterv1.UnimplementedVersionServiceServer
	cfg VersionsConfig
}

// NewVersions makes the service of versions.
func NewVersions(cfg VersionsConfig) *Versions { return &Versions{cfg: cfg} }

var _ breakwaterv1.VersionServiceServer = (*Versions)(nil)

// versionBatch is how many versions are read from the store at a time: each holds a whole
// configuration.
const versionBatch = 50

// ListVersions implements VersionService.
func (s *Versions) ListVersions(ctx context.Context, req *breakwaterv1.ListVersionsRequest) (*breakwaterv1.ListVersionsResponse, error) {
	name, err := siteName(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &breakwaterv1.Version{}, listing.Options{Absent: []string{"config"}})
	if err != nil {
		return nil, err
	}
	rec, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	versions, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Version) bool) error {
		return s.scan(ctx, name, rec, after, yield)
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListVersionsResponse{Versions: versions, NextPageToken: next}, nil
}

// scan visits the kept versions, newest first, without their configuration.
func (s *Versions) scan(
	ctx context.Context, name resource.Name, rec *storev1.SiteRecord, after string, yield func(string, *breakwaterv1.Version) bool,
) error {
	tenant := name.Tenant()
	req := registry.ListRequest{Prefix: tenant.Versions(name.Site), Limit: versionBatch, Descending: true}
	if after != "" {
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil {
			return rpcerr.InvalidField("pageToken", "token", "is not one of this list")
		}
		req.After = tenant.Version(name.Site, n)
	}
	for {
		page, err := s.cfg.History.List(ctx, req)
		if err != nil {
			return err
		}
		for _, kv := range page.KVs {
			req.After = kv.Key
			v := &breakwaterv1.Version{}
			if err := proto.Unmarshal(kv.Value, v); err != nil {
				return fmt.Errorf("version under %s: %w", kv.Key, err)
			}
			v.Config = nil
			if v.GetNumber() < rec.GetOldestVersion() {
				return nil
			}
			if !yield(strconv.FormatInt(v.GetNumber(), 10), v) {
				return nil
			}
		}
		if !page.More {
			return nil
		}
	}
}

// GetVersion implements VersionService.
func (s *Versions) GetVersion(ctx context.Context, req *breakwaterv1.GetVersionRequest) (*breakwaterv1.Version, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(name.ID, 10, 64)
	if err != nil || number < 1 || name.Collection != "versions" {
		return nil, rpcerr.InvalidField("name", "resource_name", "%q does not name a version: its ID is a number", req.GetName())
	}
	if _, _, err := s.cfg.siteRead(ctx, name); err != nil {
		return nil, err
	}
	return s.version(ctx, name, number)
}

// version reads one version.
func (s *Versions) version(ctx context.Context, name resource.Name, number int64) (*breakwaterv1.Version, error) {
	kv, err := s.cfg.History.Get(ctx, name.Tenant().Version(name.Site, number))
	if errors.Is(err, registry.ErrNotFound) {
		return nil, rpcerr.NotFound(resource.VersionName(name.Account, name.Site, number))
	}
	if err != nil {
		return nil, err
	}
	v := &breakwaterv1.Version{}
	if err := proto.Unmarshal(kv.Value, v); err != nil {
		return nil, fmt.Errorf("version under %s: %w", kv.Key, err)
	}
	// Fields that came after the version say what held without them.
	if v.GetConfig() != nil {
		sitestate.CompleteConfig(v.GetConfig())
	}
	return v, nil
}

// DiffVersions implements VersionService.
func (s *Versions) DiffVersions(ctx context.Context, req *breakwaterv1.DiffVersionsRequest) (*breakwaterv1.VersionDiff, error) {
	name, err := siteName(req.GetParent())
	if err != nil {
		return nil, err
	}
	rec, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	to := req.GetTo()
	if to == 0 {
		to = rec.GetSite().GetVersion()
	}
	if req.GetFrom() < 1 {
		return nil, rpcerr.InvalidField("from", "gte", "is the number of a version, from 1")
	}
	a, err := s.version(ctx, name, req.GetFrom())
	if err != nil {
		return nil, err
	}
	b, err := s.version(ctx, name, to)
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.VersionDiff{
		From: req.GetFrom(), To: to, Changes: sitestate.Diff(a.GetConfig(), b.GetConfig()),
	}, nil
}
