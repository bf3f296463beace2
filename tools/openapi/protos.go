package main

import (
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// accessExtension is the method option that declares who may call an RPC.
const accessExtension = "breakwater.v1.access"

// protos answers what the parts do not say.
type protos struct {
	files *protoregistry.Files
	types *dynamicpb.Types
}

// readImage loads descriptors. An image of buf is a FileDescriptorSet on the
// wire.
func readImage(path string) (*protos, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(bytes, set); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &protos{files: files, types: dynamicpb.NewTypes(files)}, nil
}

// access is what an RPC declares about its callers.
type access struct {
	scope      string
	permission string
	mutates    bool
}

// method finds the RPC of a generated operation ID, Service_Method with
// perhaps _1 for a second route. Names are looked for in one file only, since
// two packages may have services of the same name.
func (p *protos) method(file, operationID string) (protoreflect.MethodDescriptor, error) {
	desc, err := p.files.FindFileByPath(file)
	if err != nil {
		return nil, err
	}
	service, name, _ := strings.Cut(operationID, "_")
	name, _, _ = strings.Cut(name, "_")
	found := desc.Services().ByName(protoreflect.Name(service))
	if found == nil || found.Methods().ByName(protoreflect.Name(name)) == nil {
		return nil, fmt.Errorf("no RPC for the operation %s", operationID)
	}
	return found.Methods().ByName(protoreflect.Name(name)), nil
}

// accessOf reads the declaration of a method. The option is an extension that
// this program does not link, so it arrives as an unknown field and is decoded
// by its descriptor.
func (p *protos) accessOf(method protoreflect.MethodDescriptor) (access, error) {
	options := &descriptorpb.MethodOptions{}
	unknown := method.Options().ProtoReflect().GetUnknown()
	if err := (proto.UnmarshalOptions{Resolver: p.types}).Unmarshal(unknown, options); err != nil {
		return access{}, err
	}
	var message protoreflect.Message
	options.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.FullName() == accessExtension {
			message = value.Message()
		}
		return true
	})
	if message == nil {
		return access{}, fmt.Errorf("%s declares no access", method.FullName())
	}
	fields := message.Descriptor().Fields()
	scope := fields.ByName("scope")
	return access{
		scope:      string(scope.Enum().Values().ByNumber(message.Get(scope).Enum()).Name()),
		permission: message.Get(fields.ByName("permission")).String(),
		mutates:    message.Get(fields.ByName("mutates")).Bool(),
	}, nil
}
