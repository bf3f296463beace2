package listing

import (
	"container/heap"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// PageSorted is [Page] in the order that the query asks for; without one it is Page.
//
// Each call looks at all items and keeps the best page of those after the token in memory,
// so a page costs the collection's size in time and only the page's size in space. Items
// with equal values are ordered by key. Over more than [Options.MaxSort] items the order is
// refused.
func PageSorted[M proto.Message](q *Query, scan func(after string, yield func(key string, item M) bool) error) ([]M, string, error) {
	if !q.Sorted() {
		return Page(q, scan)
	}
	// One more than the page tells whether there is a next one.
	best := &worstFirst[M]{}
	scanned, tooMany := 0, false
	err := scan("", func(key string, item M) bool {
		if scanned++; scanned > q.maxSort {
			tooMany = true
			return false
		}
		if !q.Matches(item) {
			return true
		}
		e := entry[M]{sort: sortKey(q.order, item.ProtoReflect()), key: key, item: item}
		if q.cursor.set && compareKeys(e.sort, e.key, q.cursor.sort, q.cursor.key) <= 0 {
			return true
		}
		if len(*best) <= q.PageSize {
			heap.Push(best, e)
		} else if e.compare((*best)[0]) < 0 {
			(*best)[0] = e
			heap.Fix(best, 0)
		}
		return true
	})
	if err != nil {
		return nil, "", err
	}
	if tooMany {
		return nil, "", rpcerr.InvalidField("orderBy", "max_items",
			"can't order more than %d items: leave orderBy out", q.maxSort)
	}
	entries := []entry[M](*best)
	slices.SortFunc(entries, entry[M].compare)
	next := ""
	if len(entries) > q.PageSize {
		entries = entries[:q.PageSize]
		last := entries[len(entries)-1]
		next = encodeToken(cursor{sort: last.sort, key: last.key}, q.binding)
	}
	items := make([]M, len(entries))
	for i, e := range entries {
		items[i] = e.item
	}
	return items, next, nil
}

type entry[M proto.Message] struct {
	sort, key string
	item      M
}

func (e entry[M]) compare(o entry[M]) int { return compareKeys(e.sort, e.key, o.sort, o.key) }

func compareKeys(sortA, keyA, sortB, keyB string) int {
	if c := strings.Compare(sortA, sortB); c != 0 {
		return c
	}
	return strings.Compare(keyA, keyB)
}

// worstFirst is a heap whose root is the entry that comes last.
type worstFirst[M proto.Message] []entry[M]

func (w worstFirst[M]) Len() int           { return len(w) }
func (w worstFirst[M]) Less(i, j int) bool { return w[i].compare(w[j]) > 0 }
func (w worstFirst[M]) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

// Push is for container/heap.
func (w *worstFirst[M]) Push(x any) {
	if e, ok := x.(entry[M]); ok {
		*w = append(*w, e)
	}
}

// Pop is for container/heap.
func (w *worstFirst[M]) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}
