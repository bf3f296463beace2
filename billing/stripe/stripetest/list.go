package stripetest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// stamped is what every resource has.
type stamped struct {
	id      string
	created time.Time
}

func (s *stamped) stamp() *stamped { return s }

// pageOf reads the parameters of a list.
type pageOf struct {
	limit         int
	after, before string
}

func (c *call) page() pageOf {
	p := pageOf{limit: 10, after: c.text("starting_after"), before: c.text("ending_before")}
	if limit, ok := c.number("limit"); ok {
		p.limit = int(limit)
		if limit < 1 || limit > 100 {
			c.fail("limit", "", "This value must be between 1 and 100")
		}
	}
	return p
}

// list answers one page of what is in some resources, newest first
// (https://docs.stripe.com/api/pagination).
func list[T interface{ stamp() *stamped }](c *call, page pageOf, all []T, view func(T) object) (object, error) {
	newestFirst(all)
	return listAsIs(c, page, all, view)
}

// listAsIs is list for what has an order of its own.
func listAsIs[T interface{ stamp() *stamped }](c *call, page pageOf, all []T, view func(T) object) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	from, to := 0, len(all)
	for _, cursor := range []string{page.after, page.before} {
		if cursor == "" {
			continue
		}
		at := slices.IndexFunc(all, func(v T) bool { return v.stamp().id == cursor })
		if at < 0 {
			return nil, missing("object", cursor, "starting_after")
		}
		if cursor == page.after {
			from = at + 1
		} else {
			to = at
		}
	}
	all = all[from:to]
	more := len(all) > page.limit
	if more && page.before != "" {
		all = all[len(all)-page.limit:]
	} else if more {
		all = all[:page.limit]
	}
	data := make([]object, 0, len(all))
	for _, v := range all {
		data = append(data, view(v))
	}
	return listView(c.request, data, more), nil
}

func newestFirst[T interface{ stamp() *stamped }](all []T) {
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(b.stamp().created.Compare(a.stamp().created), cmp.Compare(b.stamp().id, a.stamp().id))
	})
}

func listView(r *http.Request, data []object, more bool) object {
	return object{"object": "list", "data": data, "has_more": more, "url": r.URL.Path}
}

// inner is a list within an object.
func inner(url string, data []object) object {
	return object{"object": "list", "data": data, "has_more": false, "url": url, "total_count": len(data)}
}

// unix is a time as Stripe writes it; nil for none.
func unix(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// orNull is a text that is null where it is empty.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
