package authz

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Registered is what a *grpc.Server is.
type Registered interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
}

// Services returns the descriptors of the services that are registered with a server,
// sorted by name. exempt lists services of other projects, which declare no access.
func Services(server Registered, exempt ...string) ([]protoreflect.ServiceDescriptor, error) {
	var out []protoreflect.ServiceDescriptor
	for name := range server.GetServiceInfo() {
		if slices.Contains(exempt, name) {
			continue
		}
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return nil, fmt.Errorf("authz: service %s: %w", name, err)
		}
		s, ok := d.(protoreflect.ServiceDescriptor)
		if !ok {
			return nil, fmt.Errorf("authz: %s is not a service", name)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b protoreflect.ServiceDescriptor) int {
		if a.FullName() < b.FullName() {
			return -1
		}
		return 1
	})
	return out, nil
}
