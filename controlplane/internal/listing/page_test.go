package listing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

var siteOptions = Options{OrderBy: []string{"createTime", "origin.port", "domain"}, KeyOrder: "domain"}

type store map[string]*breakwaterv1.Site

func (s store) scan(after string, yield func(string, *breakwaterv1.Site) bool) error {
	keys := make([]string, 0, len(s))
	for k := range s {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k > after && !yield(k, s[k]) {
			return nil
		}
	}
	return nil
}

func sites(n int) store {
	s := store{}
	for i := range n {
		domain := fmt.Sprintf("s%04d.test", i)
		s[domain] = &breakwaterv1.Site{Domain: domain, Paused: i%3 == 0, Origin: &breakwaterv1.Origin{Port: int32(i % 7)}}
	}
	return s
}

func parse(t *testing.T, req proto.Message, opts Options) *Query {
	t.Helper()
	q, err := Parse(req, &breakwaterv1.Site{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// walk follows the tokens to the end, with a change after each page if there is one.
func walk(t *testing.T, s store, req *breakwaterv1.ListSitesRequest, opts Options, change func()) (domains []string, pages int) {
	t.Helper()
	for {
		items, next, err := PageSorted(parse(t, req, opts), s.scan)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, item := range items {
			domains = append(domains, item.GetDomain())
		}
		if next == "" {
			return domains, pages
		}
		if pages > 10_000 {
			t.Fatal("the pages don't end")
		}
		if change != nil {
			change()
		}
		req = proto.CloneOf(req)
		req.PageToken = next
	}
}

func TestPages(t *testing.T) {
	for _, test := range []struct {
		name         string
		n, size      int
		opts         Options
		filter       string
		items, pages int
	}{
		{"none", 0, 0, siteOptions, "", 0, 1},
		{"default size", 120, 0, siteOptions, "", 120, 3},
		{"exact end", 100, 0, siteOptions, "", 100, 2},
		{"larger is coerced", 1500, 5000, siteOptions, "", 1500, 2},
		{"filter", 90, 10, siteOptions, "paused = true", 30, 3},
		{"filter of none", 90, 10, siteOptions, "domain = x", 0, 1},
		{"bounded scan", 90, 10, Options{MaxScan: 8}, "paused = true", 30, 12},
		{"bounded scan of none", 90, 10, Options{MaxScan: 40}, "domain = x", 0, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := &breakwaterv1.ListSitesRequest{Parent: "accounts/acme", PageSize: int32(test.size), Filter: test.filter}
			domains, pages := walk(t, sites(test.n), req, test.opts, nil)
			if len(domains) != test.items || pages != test.pages || !slices.IsSorted(domains) {
				t.Errorf("got %d items on %d pages, want %d on %d", len(domains), pages, test.items, test.pages)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	req := func(change func(*breakwaterv1.ListSitesRequest)) *breakwaterv1.ListSitesRequest {
		r := &breakwaterv1.ListSitesRequest{Parent: "accounts/acme", PageSize: 1}
		change(r)
		return r
	}
	_, token, err := Page(parse(t, req(func(*breakwaterv1.ListSitesRequest) {}), siteOptions), sites(2).scan)
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	last := "A"
	if strings.HasSuffix(token, last) {
		last = "B"
	}
	for _, test := range []struct {
		field string
		req   *breakwaterv1.ListSitesRequest
		opts  Options
	}{
		{"pageSize", req(func(r *breakwaterv1.ListSitesRequest) { r.PageSize = -1 }), siteOptions},
		{"filter", req(func(r *breakwaterv1.ListSitesRequest) { r.Filter = "nope = 1" }), siteOptions},
		{"orderBy", req(func(r *breakwaterv1.ListSitesRequest) { r.OrderBy = "nope" }), siteOptions},
		{"orderBy", req(func(r *breakwaterv1.ListSitesRequest) { r.OrderBy = "uid" }), siteOptions},
		{"orderBy", req(func(r *breakwaterv1.ListSitesRequest) { r.OrderBy = "domain down" }), siteOptions},
		{"orderBy", req(func(r *breakwaterv1.ListSitesRequest) { r.OrderBy = "domain,,uid" }), siteOptions},
		{"orderBy", req(func(r *breakwaterv1.ListSitesRequest) { r.OrderBy = "domain" }), Options{}},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = "rubbish!" }), siteOptions},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token[:len(token)-1] + last }), siteOptions},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token; r.Parent = "accounts/other" }), siteOptions},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token; r.Filter = "paused = true" }), siteOptions},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token; r.OrderBy = "createTime" }), siteOptions},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token; r.ShowDeleted = true }), siteOptions},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token }), Options{Scope: "other"}},
		{"pageToken", req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = strings.Repeat("A", maxToken+1) }), siteOptions},
	} {
		_, err := Parse(test.req, &breakwaterv1.Site{}, test.opts)
		var e *rpcerr.Error
		if !errors.As(err, &e) || len(e.Violations) != 1 || e.Violations[0].Field != test.field || e.Reason != rpcerr.ReasonInvalidField {
			t.Errorf("%v: got %v, want one violation of %s", test.req, err, test.field)
		}
	}
	// Another page size is the same query.
	again := req(func(r *breakwaterv1.ListSitesRequest) { r.PageToken = token; r.PageSize = 10 })
	items, next, err := Page(parse(t, again, siteOptions), sites(2).scan)
	if err != nil || next != "" || len(items) != 1 || items[0].GetDomain() != "s0001.test" {
		t.Errorf("got %v, %q, %v", items, next, err)
	}
	_, err = Parse(req(func(r *breakwaterv1.ListSitesRequest) { r.PageSize = -1; r.Filter = "x"; r.OrderBy = "y" }), &breakwaterv1.Site{}, siteOptions)
	var e *rpcerr.Error
	if !errors.As(err, &e) || len(e.Violations) != 3 {
		t.Errorf("got %v, want every violation at once", err)
	}
}

func TestSorted(t *testing.T) {
	s := store{}
	for i, at := range []int64{50, 20, 0, 40, 20} {
		domain := fmt.Sprintf("s%d.test", i)
		s[domain] = &breakwaterv1.Site{Domain: domain, Origin: &breakwaterv1.Origin{Port: int32(10 - i/2)}}
		if at > 0 {
			s[domain].CreateTime = timestamppb.New(time.Unix(at, 0))
		}
	}
	for _, test := range []struct{ orderBy, want string }{
		{"", "0 1 2 3 4"},
		{"domain", "0 1 2 3 4"},
		{"domain desc", "4 3 2 1 0"},
		{"createTime", "2 1 4 3 0"},
		{"create_time asc", "2 1 4 3 0"},
		{"createTime desc", "0 3 1 4 2"},
		{"createTime desc, domain desc", "0 3 4 1 2"},
		{"origin.port, createTime", "4 2 3 1 0"},
	} {
		for size := int32(1); size < 6; size++ {
			req := &breakwaterv1.ListSitesRequest{OrderBy: test.orderBy, PageSize: size}
			domains, _ := walk(t, s, req, siteOptions, nil)
			got := strings.NewReplacer("s", "", ".test", "").Replace(strings.Join(domains, " "))
			if got != test.want {
				t.Errorf("%q by %d: got %s, want %s", test.orderBy, size, got, test.want)
			}
		}
	}
	req := &breakwaterv1.ListSitesRequest{OrderBy: "domain desc"}
	opts := siteOptions
	opts.MaxSort = 4
	if _, _, err := PageSorted(parse(t, req, opts), s.scan); err == nil {
		t.Error("sorted more than MaxSort")
	}
	q := parse(t, &breakwaterv1.ListSitesRequest{PageSize: 1}, Options{DefaultOrder: "uid desc"})
	if !q.Sorted() {
		t.Error("the default order is not taken")
	}
}

func TestScanError(t *testing.T) {
	fault := errors.New("fault")
	scan := func(string, func(string, *breakwaterv1.Site) bool) error { return fault }
	for _, orderBy := range []string{"", "createTime"} {
		_, _, err := PageSorted(parse(t, &breakwaterv1.ListSitesRequest{OrderBy: orderBy}, siteOptions), scan)
		if !errors.Is(err, fault) {
			t.Errorf("got %v", err)
		}
	}
}

// What is there through a whole walk is returned exactly once, in order, whatever comes and
// goes meanwhile.
func TestWalkIsStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := sites(rapid.IntRange(0, 40).Draw(rt, "sites"))
		req := &breakwaterv1.ListSitesRequest{
			PageSize: rapid.Int32Range(1, 9).Draw(rt, "size"),
			OrderBy:  rapid.SampledFrom([]string{"", "origin.port", "origin.port desc", "domain desc"}).Draw(rt, "order"),
		}
		if rapid.Bool().Draw(rt, "filtered") {
			req.Filter = "paused = false"
		}
		opts := siteOptions
		opts.MaxScan = rapid.IntRange(1, 50).Draw(rt, "scan")
		stays := map[string]bool{}
		for domain, site := range s {
			stays[domain] = req.GetFilter() == "" || !site.GetPaused()
		}
		domains, _ := walk(t, s, req, opts, func() {
			domain := fmt.Sprintf("s%04d.test", rapid.IntRange(0, 60).Draw(rt, "i"))
			if s[domain] != nil {
				delete(s, domain)
				stays[domain] = false
			} else {
				s[domain] = &breakwaterv1.Site{Domain: domain}
			}
		})
		seen := map[string]int{}
		for _, domain := range domains {
			seen[domain]++
		}
		for domain, stayed := range stays {
			if stayed && seen[domain] != 1 {
				rt.Fatalf("%s was returned %d times", domain, seen[domain])
			}
		}
	})
}

func FuzzDecodeToken(f *testing.F) {
	f.Add(encodeToken(cursor{sort: "a", key: "b"}, [bindingSize]byte{1}))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := decodeToken(token, [bindingSize]byte{1}); err == nil && encodeToken(c, [bindingSize]byte{1}) != token {
			t.Errorf("%q is not the token of %v", token, c)
		}
	})
}
