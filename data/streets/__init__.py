"""The embedded street scenes: cars, persons and speed signs by day and by night, drawn from a seed, and their truth.

scene      what is where: one camera, houses, street, objects; it knows nothing of day and night
canvas     draws at four times the size and reduces
houses, street, objects    draw the parts of a scene onto a canvas
styles     the looks of both domains: light, sky, weather
rendering  a drawn scene and a style -> an image
writing    files
"""
