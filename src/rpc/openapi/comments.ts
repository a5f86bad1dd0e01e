import { fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

/** Comments of proto files, by the full name of what they describe. */
export type Comments = Readonly<Record<string, string>>;

/**
 * Reads the comments of a serialized `google.protobuf.FileDescriptorSet`, sorted by name: generated code carries none. Joins the
 * lines of a paragraph. Throws an Error if the set was made without comments.
 */
export function readComments(descriptorSet: Uint8Array): Comments {
  const { file: files } = fromBinary(FileDescriptorSetSchema, descriptorSet);
  if (!files.some(({ sourceCodeInfo }) => sourceCodeInfo !== undefined)) {
    throw new Error(
      "the descriptor set has no comments: make it with `buf build --as-file-descriptor-set`, or with protoc's --include_source_info",
    );
  }
  return Object.fromEntries(files.flatMap(commentsOf).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The position of a declaration: field numbers of descriptor.proto and indexes, in turns. */
type SourcePath = readonly number[];

function commentsOf(file: FileDescriptorProto): [name: string, text: string][] {
  const texts = new Map(
    file.sourceCodeInfo?.location.map(({ path, leadingComments, trailingComments }) => [
      path.join(),
      reflow(leadingComments || trailingComments),
    ]),
  );
  const found: [string, string][] = [];

  function add(name: string, path: SourcePath): void {
    const text = texts.get(path.join());
    if (text) found.push([name, text]);
  }
  function addMessage(message: DescriptorProto, name: string, path: SourcePath): void {
    add(name, path);
    message.field.forEach((field, i) => {
      add(`${name}.${field.name}`, [...path, 2, i]);
    });
    message.nestedType.forEach((nested, i) => {
      addMessage(nested, `${name}.${nested.name}`, [...path, 3, i]);
    });
    message.enumType.forEach((nested, i) => {
      addEnum(nested, `${name}.${nested.name}`, [...path, 4, i]);
    });
    message.extension.forEach((extension, i) => {
      add(`${name}.${extension.name}`, [...path, 6, i]);
    });
  }
  function addEnum(desc: EnumDescriptorProto, name: string, path: SourcePath): void {
    add(name, path);
    desc.value.forEach((value, i) => {
      add(`${name}.${value.name}`, [...path, 2, i]);
    });
  }

  const scope = file.package === "" ? "" : `${file.package}.`;
  file.messageType.forEach((message, i) => {
    addMessage(message, scope + message.name, [4, i]);
  });
  file.enumType.forEach((desc, i) => {
    addEnum(desc, scope + desc.name, [5, i]);
  });
  file.service.forEach((service, i) => {
    const name = scope + service.name;
    add(name, [6, i]);
    service.method.forEach((method, j) => {
      add(`${name}.${method.name}`, [6, i, 2, j]);
    });
  });
  file.extension.forEach((extension, i) => {
    add(scope + extension.name, [7, i]);
  });
  return found;
}

/** Lines of a paragraph become one; an empty line begins the next. */
function reflow(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .trim()
    .replace(/[ \t]*\n[ \t]*/g, "\n")
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.replaceAll("\n", " "))
    .join("\n\n");
}
