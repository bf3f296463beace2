// Package apidocs serves the API's description: the OpenAPI document, and a viewer for it.
//
// The viewer is a page of this project's own that is embedded in the program. It needs no
// network beyond this server: a content security policy forbids anything else, inline
// scripts too. A credential that is typed into it is kept in the page's memory only.
//
// Everything is prepared once by [New]; handlers are read-only and safe for concurrent use.
package apidocs
