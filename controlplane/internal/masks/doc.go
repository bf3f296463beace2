// Package masks applies an update to a resource under a field mask (AIP-134, AIP-161).
//
// # What a mask means
//
//   - No mask: the fields that are set in the update, inside nested messages too.
//   - A mask without paths: nothing changes.
//   - `*`: the update replaces all that a client may set.
//   - Otherwise the named fields take the update's values; one that the update does not set
//     is cleared. A message is named whole or by its fields. Maps and lists are replaced
//     whole and have no paths of their own.
//
// Paths have lowerCamelCase or snake_case segments. Fields that are OUTPUT_ONLY or
// IDENTIFIER, and the etag, are ignored wherever they are named or set. An IMMUTABLE field
// may be repeated with the value that it has, and is refused with another.
//
// Functions are pure but for the resource that [Apply] changes; they keep no reference to
// their arguments and are safe for concurrent use on different resources.
package masks
