// Package authz decides what a principal may call. Every RPC declares its tenant scope, its
// permission and the request's field that names the resource, as the proto option
// breakwater.v1.access; [NewTable] reads them all and fails for a server that has an RPC
// without one, so that nothing is open by omission.
//
// [Table.Check] runs before a handler. It parses the resource name, writes it back in its
// canonical form, and decides by permission, tenant and site, in that order and before
// anyone looks whether the resource exists. A refusal names the permission that is missing
// and nothing else. Default is deny.
//
// A principal whose grant is limited to sites reaches, of what is not below a site, only
// what [Table.Check] lists: reading (but the audit log), and what the handlers bound by the
// same sites.
//
// Everything here is pure and safe for concurrent use.
package authz
