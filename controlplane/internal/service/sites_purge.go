package service

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/internet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// PurgeCache implements SiteService.
func (s *Sites) PurgeCache(ctx context.Context, req *breakwaterv1.PurgeCacheRequest) (*breakwaterv1.PurgeCacheResponse, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	urls, violations := sitePurgeURLs(req, name.Site)
	if len(violations) > 0 {
		return nil, rpcerr.Invalid(violations...)
	}
	counted := false
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.PurgeCacheResponse, error) {
		e, err := s.cfg.siteOpenWritable(tx, name)
		if err != nil {
			return nil, err
		}
		if err := siteMeets(tx, "", sitestate.SiteEtag(e.rec), name.SiteName()); err != nil {
			return nil, err
		}
		// Counted once, however often the change is tried.
		if !counted && !tx.Call().ValidateOnly {
			if err := s.takePurge(e); err != nil {
				return nil, err
			}
			counted = true
		}
		id := sitestate.Purge(e.rec, req.GetEverything(), urls, req.GetTags())
		err = e.commitVersion(siteAudit{summary: sitePurgeSummary(req), fields: []string{"purges"}})
		if err != nil {
			return nil, err
		}
		return &breakwaterv1.PurgeCacheResponse{PurgeId: id, Version: e.rec.GetSite().GetVersion()}, nil
	})
}

func (s *Sites) takePurge(e *siteEdit) error {
	if s.cfg.Purges == nil || e.tx.Call().Principal.Unlimited() {
		return nil
	}
	limit := int(e.entitlements().GetPurgesPerMinute())
	d := s.cfg.Purges.Take(e.name.SiteName(), limit)
	if d.Allowed {
		return nil
	}
	return rpcerr.RateLimited("purges", d.RetryAfter, "the plan %s allows %d purges a minute: try again in %s",
		e.plan(), limit, d.RetryAfter.Round(time.Second))
}

func sitePurgeSummary(req *breakwaterv1.PurgeCacheRequest) string {
	if req.GetEverything() {
		return "purged everything"
	}
	return fmt.Sprintf("purged %d URLs and %d tags", len(req.GetUrls()), len(req.GetTags()))
}

// sitePurgeURLs checks what shall be purged and returns the URLs as the edge compares them.
func sitePurgeURLs(req *breakwaterv1.PurgeCacheRequest, site string) (urls []string, found []rpcerr.Violation) {
	some := len(req.GetUrls())+len(req.GetTags()) > 0
	switch {
	case req.GetEverything() && some:
		found = append(found, rpcerr.Violation{Field: "everything", Rule: "exclusive", Message: "includes all URLs and tags: leave them out, or it"})
	case !req.GetEverything() && !some:
		found = append(found, rpcerr.Violation{Field: "everything", Rule: "required", Message: "say what to purge: everything, urls or tags"})
	}
	for i, raw := range req.GetUrls() {
		u, problem := sitePurgeURL(raw, site)
		if problem != "" {
			found = append(found, rpcerr.Violation{Field: fmt.Sprintf("urls[%d]", i), Rule: "url", Message: problem})
		}
		urls = append(urls, u)
	}
	for i, tag := range req.GetTags() {
		if strings.TrimSpace(tag) != tag || strings.ContainsAny(tag, ",\r\n\x00") {
			found = append(found, rpcerr.Violation{
				Field: fmt.Sprintf("tags[%d]", i), Rule: "tag", Message: "has a comma, a line break, or spaces around it",
			})
		}
	}
	return urls, found
}

func sitePurgeURL(raw, site string) (canonical, problem string) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "is not a URL"
	}
	host, ok := internet.HostName(u.Hostname())
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "must be absolute, with http or https"
	case u.User != nil || u.Fragment != "":
		return "", "has a user or a fragment, which no cache key has"
	case !ok:
		return "", "has no host name"
	case host != site && !strings.HasSuffix(host, "."+site):
		return "", "is not of this site: its host must be " + site + " or below it"
	}
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	u.Host = host
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), ""
}
