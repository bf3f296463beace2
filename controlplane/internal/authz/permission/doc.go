// Package permission says which permissions there are in words: patterns, what a pattern
// covers, and which patterns each role of a member has. It is pure; authn uses it to bound
// credentials by their makers, authz to decide.
//
// A permission is a collection's segment, a dot and a verb: `sites.get`,
// `settings.update`, `sites.checkActivation`. A pattern is a permission, a whole collection
// (`sites.*`), or everything (`*`).
//
// Two permissions are never covered by a wildcard and have to be named:
// [Impersonate], and whatever only operators may do, which no pattern covers at all because
// it is asked of the principal's kind.
package permission
