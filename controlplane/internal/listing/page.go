package listing

import "google.golang.org/protobuf/proto"

// Scan yields the items that the caller may see, with their keys, in the order of the keys
// and strictly after the key `after`; from the beginning when that is empty. It stops when
// yield returns false. Keys are unique and not empty. Any fixed order will do, as long as
// the scan and its `after` agree on it.
type Scan[M proto.Message] func(after string, yield func(key string, item M) bool) error

// Page returns the items of one page, filtered, in the scan's order, and the token of the
// next page; empty after the last item. Where [Options.MaxScan] items were looked at before
// the page was full it is short, even empty, and has a token. An error of the scan is
// returned as it is.
func Page[M proto.Message](q *Query, scan func(after string, yield func(key string, item M) bool) error) ([]M, string, error) {
	items := make([]M, 0, min(q.PageSize, DefaultPageSize))
	scanned, last, next := 0, "", ""
	err := scan(q.cursor.key, func(key string, item M) bool {
		if scanned == q.maxScan {
			// At least one more item is there, and nothing is said about it.
			next = last
			return false
		}
		scanned++
		if q.Matches(item) {
			if len(items) == q.PageSize {
				next = last
				return false
			}
			items = append(items, item)
		}
		last = key
		return true
	})
	if err != nil {
		return nil, "", err
	}
	if next == "" {
		return items, "", nil
	}
	return items, encodeToken(cursor{key: next}, q.binding), nil
}
