package listing

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Sizes of pages, in items.
const (
	DefaultPageSize = 50
	MaxPageSize     = 1000
)

// Bounds on the items that one call looks at.
const (
	defaultMaxScan = 10_000
	defaultMaxSort = 100_000
)

// Options say what a List method offers. The zero value lists in the order of keys.
type Options struct {
	// DefaultOrder is the order without orderBy, such as `createTime desc`. Empty is the
	// order of the scan's keys.
	DefaultOrder string
	// OrderBy names the fields that orderBy may use, by their JSON paths.
	OrderBy []string
	// KeyOrder names the field, if any, by which the scan's keys are ordered already. An
	// orderBy of it alone, ascending, needs no sorting.
	KeyOrder string
	// Absent names fields, by their JSON paths, that the returned items have but for this list.
	// A filter of them, or of what is below, would match nothing and is refused.
	Absent []string
	// Scope is what else ties a token, beside the request itself, such as the principal
	// where that decides what is listed.
	Scope string
	// MaxScan bounds the items that one call of [Page] looks at; 10,000 when zero.
	MaxScan int
	// MaxSort bounds the items that one call of [PageSorted] looks at; 100,000 when zero.
	// A larger collection can't be sorted and the call is refused.
	MaxSort int
}

// Query is what a request asks for, checked.
type Query struct {
	// PageSize is how many items a page has at most, 1 to [MaxPageSize].
	PageSize int
	// ShowDeleted says whether softly deleted items are wanted; the scan has to heed it.
	ShowDeleted bool

	maxScan, maxSort int
	match            predicate
	order            []orderTerm
	binding          [bindingSize]byte
	cursor           cursor
}

// Parse reads page_size, page_token, filter, order_by and show_deleted from a request, as
// far as it has them, and checks them against the item that is returned. All errors are
// rpcerr's and name the field.
func Parse(req, item proto.Message, opts Options) (*Query, error) {
	r := req.ProtoReflect()
	q := &Query{
		PageSize: DefaultPageSize,
		maxScan:  orDefault(opts.MaxScan, defaultMaxScan),
		maxSort:  orDefault(opts.MaxSort, defaultMaxSort),
	}

	var violations []rpcerr.Violation
	invalid := func(field, rule string, err error) {
		violations = append(violations, rpcerr.Violation{Field: field, Rule: rule, Message: err.Error()})
	}
	if fd := field(r, "page_size", protoreflect.Int32Kind); fd != nil {
		size, err := pageSize(r.Get(fd).Int())
		if err != nil {
			invalid("pageSize", "gte", err)
		}
		q.PageSize = size
	}
	if fd := field(r, "show_deleted", protoreflect.BoolKind); fd != nil {
		q.ShowDeleted = r.Get(fd).Bool()
	}
	md := item.ProtoReflect().Descriptor()
	if fd := field(r, "filter", protoreflect.StringKind); fd != nil {
		match, err := compile(md, r.Get(fd).String(), opts.Absent...)
		if err != nil {
			invalid("filter", "filter", err)
		}
		q.match = match
	}
	orderBy := ""
	if fd := field(r, "order_by", protoreflect.StringKind); fd != nil {
		orderBy = r.Get(fd).String()
	}
	order, err := parseOrder(md, orderBy, opts)
	if err != nil {
		invalid("orderBy", "order", err)
	}
	q.order = order
	q.binding = bind(r, opts.Scope)
	if fd := field(r, "page_token", protoreflect.StringKind); fd != nil && r.Get(fd).String() != "" {
		q.cursor, err = decodeToken(r.Get(fd).String(), q.binding)
		if err != nil {
			invalid("pageToken", "token", err)
		}
	}
	if len(violations) > 0 {
		return nil, rpcerr.Invalid(violations...)
	}
	return q, nil
}

// Sorted says whether the query asks for an order other than that of the scan's keys.
func (q *Query) Sorted() bool { return len(q.order) > 0 }

// Filtered says whether the query has a filter.
func (q *Query) Filtered() bool { return q.match != nil }

// Matches says whether the filter lets an item through.
func (q *Query) Matches(item proto.Message) bool {
	return q.match == nil || q.match(item.ProtoReflect())
}

func pageSize(asked int64) (int, error) {
	switch {
	case asked < 0:
		return 0, errNegativePageSize
	case asked == 0:
		return DefaultPageSize, nil
	case asked > MaxPageSize:
		return MaxPageSize, nil
	}
	return int(asked), nil
}

// field finds a request's field by name, if it is a single value of the kind.
func field(m protoreflect.Message, name protoreflect.Name, kind protoreflect.Kind) protoreflect.FieldDescriptor {
	fd := m.Descriptor().Fields().ByName(name)
	if fd == nil || fd.Kind() != kind || fd.IsList() {
		return nil
	}
	return fd
}

func orDefault(n, fallback int) int {
	if n <= 0 {
		return fallback
	}
	return n
}
