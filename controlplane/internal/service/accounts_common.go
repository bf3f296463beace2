package service

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// accountDo is change.Do for what decides who may do what. Authentication reads the cache
// without waiting, so the answer waits for this server's cache: whoever got it finds that
// it holds, a new token as well as a revoked one.
func accountDo[R proto.Message](ctx context.Context, w *change.Writer, source change.Source, tenant resource.Tenant, fn func(*change.Tx) (R, error)) (R, error) {
	answer, err := change.Do(ctx, w, tenant, fn)
	if err == nil {
		accountSettle(ctx, source)
	}
	return answer, err
}

// accountSettle waits until the cache shows what was just stored. What is stored stays so
// when that fails.
func accountSettle(ctx context.Context, source change.Source) {
	_, _ = source.Read(ctx)
}

// accountMustExist fails unless the account of a list is there: an empty list would say
// that it is.
func accountMustExist(view change.View, name resource.Name) error {
	if _, ok := view.Get(name.Tenant().Record()); !ok {
		return rpcerr.NotFound(resource.AccountName(name.Account))
	}
	return nil
}

// accountUntagged fails where what is to be created comes with an entity tag: nothing has
// one that is not there yet. `*` is met, because the collection that is asked is there.
func accountUntagged(tx *change.Tx, name string) error {
	err := siteMeets(tx, "", "", name)
	if e, ok := errors.AsType[*rpcerr.Error](err); ok {
		e.Message = name + " is to be created and has no entity tag yet: leave If-Match out"
	}
	return err
}

// accountScan visits the values below a prefix, in order and strictly after a key, until
// visit returns false.
func accountScan(view change.View, prefix, after string, visit func(registry.KV) (bool, error)) error {
	for {
		kvs, more := view.List(prefix, after, listing.DefaultPageSize)
		for _, kv := range kvs {
			if goOn, err := visit(kv); err != nil || !goOn {
				return err
			}
			after = kv.Key
		}
		if !more {
			return nil
		}
	}
}

// accountIndexed is the path of one element of a list.
func accountIndexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
