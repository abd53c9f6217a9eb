# The images under the names that the published guide gives them.
variable "IMAGE_REPO" {
  default = "localhost:5001"
}

variable "IMAGE_TAG" {
  default = "latest"
}

group "default" {
  targets = ["slim", "bindings-examples"]
}

target "slim" {
  context    = "."
  dockerfile = "Containerfile"
  target     = "node"
  tags       = ["${IMAGE_REPO}/slim:${IMAGE_TAG}"]
}

target "bindings-examples" {
  context    = "."
  dockerfile = "Containerfile"
  target     = "examples"
  tags       = ["${IMAGE_REPO}/bindings-examples:${IMAGE_TAG}"]
}
