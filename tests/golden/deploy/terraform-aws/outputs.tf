# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
output "address" {
  description = "Where it answers."
  value       = "https://${var.domain}"
}

output "repository" {
  description = "Where the image is pushed to."
  value       = aws_ecr_repository.this.repository_url
}

output "master_key" {
  description = "The secret that holds the master key."
  value       = aws_secretsmanager_secret.generated["master-key"].name
}

output "migration_network" {
  description = "The network of the migration, as `aws ecs run-task` takes it."
  value = jsonencode({
    awsvpcConfiguration = {
      subnets        = aws_subnet.private[*].id
      securityGroups = [aws_security_group.container.id]
    }
  })
}
