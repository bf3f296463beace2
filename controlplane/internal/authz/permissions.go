package authz

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
)

// Permissions returns what can be given below accounts: what the customers' API declares,
// without what only operators may do, and the permissions that no RPC declares.
func Permissions() permission.Set {
	set := permission.Set{permission.Impersonate, permission.ManageOwners}
	protoregistry.GlobalFiles.RangeFilesByPackage(breakwaterv1.File_breakwater_v1_access_proto.Package(),
		func(f protoreflect.FileDescriptor) bool {
			for i := range f.Services().Len() {
				set = append(set, tenantPermissions(f.Services().Get(i))...)
			}
			return true
		})
	slices.Sort(set)
	return slices.Compact(set)
}

func tenantPermissions(s protoreflect.ServiceDescriptor) []string {
	var out []string
	for i := range s.Methods().Len() {
		access, _ := proto.GetExtension(s.Methods().Get(i).Options(), breakwaterv1.E_Access).(*breakwaterv1.Access)
		switch access.GetScope() {
		case breakwaterv1.Access_ACCOUNT, breakwaterv1.Access_SITE, breakwaterv1.Access_AUTHENTICATED:
			if collection, _, _ := strings.Cut(access.GetPermission(), "."); permission.KnownCollection(collection) {
				out = append(out, access.GetPermission())
			}
		default:
		}
	}
	return out
}
